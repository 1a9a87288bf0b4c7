"""The parameters of every method, checked at the door; unknown ones are refused by name."""

import hashlib
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from edge.vm.model import Spec, VmId
from shared.errors import RpcError

Target = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
Token = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,128}\Z")]
WaitSeconds = Annotated[float, Meta(ge=0, le=60)]
Who = Annotated[str, Meta(max_length=128, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]

WITHOUT_EFFECT = ("vm", "node", "request_id", "wait_s", "requested_by", "via_hub")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    node: str | None = None


class Mutating(_Strict, frozen=True, kw_only=True):
    """What every call that changes something may carry."""

    request_id: Token | None = None
    wait_s: WaitSeconds = 2.0
    requested_by: Who = ""
    via_hub: Who = ""


class Listing(_Strict, frozen=True, kw_only=True):
    """vm.list, node.drivers"""


class OneVm(_Strict, frozen=True, kw_only=True):
    """vm.get"""

    vm: Target


class Create(Mutating, frozen=True, kw_only=True):
    """vm.create"""

    spec: Spec
    id: VmId | None = None
    start: bool = False


class Simple(Mutating, frozen=True, kw_only=True):
    """vm.start, vm.pause, vm.resume"""

    vm: Target


class Stop(Mutating, frozen=True, kw_only=True):
    """vm.stop; `force_after` seconds turn a graceful stop into a forced one."""

    vm: Target
    mode: Literal["graceful", "force"] = "graceful"
    timeout_s: Annotated[float, Meta(ge=0, le=3600)] | None = None
    force_after: Annotated[float, Meta(ge=0, le=3600)] | None = None


class Reboot(Mutating, frozen=True, kw_only=True):
    """vm.reboot"""

    vm: Target
    mode: Literal["soft", "hard"] = "soft"


class Delete(Mutating, frozen=True, kw_only=True):
    """vm.delete"""

    vm: Target
    force: bool = False


class ConsoleLog(_Strict, frozen=True, kw_only=True):
    """vm.console.log; no offset asks for the end of the log."""

    vm: Target
    offset: Annotated[int, Meta(ge=0, le=1 << 60)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1 << 20)] = 64 * 1024


class ConsoleSend(_Strict, frozen=True, kw_only=True):
    """vm.console.send"""

    vm: Target
    data: Annotated[str, Meta(min_length=1, max_length=4096)]


class OneOp(_Strict, frozen=True, kw_only=True):
    """op.get, op.wait"""

    op_id: Token
    timeout_s: WaitSeconds = 30.0


class OpList(_Strict, frozen=True, kw_only=True):
    """op.list"""

    vm: Target | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


Params = TypeVar("Params", bound=_Strict)


def read(params: dict[str, Any], kind: type[Params], node_id: str) -> Params:
    """Check parameters; raises RpcError invalid_params that says which and why."""
    try:
        found = msgspec.convert(params, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RpcError("invalid_params", str(error)) from error
    if found.node is not None and found.node != node_id:
        raise RpcError("not_found", f"this node is {node_id}, not {found.node!r}")
    return found


def digest_of(params: Mutating) -> str:
    """One text for everything in a call that has an effect, whatever the order of its fields."""
    effect = {
        key: value
        for key, value in msgspec.to_builtins(params).items()
        if key not in WITHOUT_EFFECT
    }
    return hashlib.sha256(msgspec.json.encode(effect, order="sorted")).hexdigest()
