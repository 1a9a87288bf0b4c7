"""The parameters of every method, checked at the door; unknown ones are refused by name."""

import hashlib
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from edge.vm.model import Name, Spec, VmId
from shared.errors import RpcError
from shared.pattern_words import in_words

Target = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
Token = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,128}\Z")]
WaitSeconds = Annotated[float, Meta(ge=0, le=60)]
Who = Annotated[str, Meta(max_length=128, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]

Argument = Annotated[str, Meta(pattern=r"\A[^\x00]*\Z", max_length=32_768)]

WITHOUT_EFFECT = ("vm", "node", "request_id", "wait_s", "requested_by", "via_hub", "if_generation")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    node: str | None = None


class Mutating(_Strict, frozen=True, kw_only=True):
    """What every call that changes something may carry."""

    request_id: Token | None = None
    wait_s: WaitSeconds = 2.0
    requested_by: Who = ""
    via_hub: Who = ""
    if_generation: Annotated[int, Meta(ge=1)] | None = None
    """Refuse when somebody changed the machine's spec since it was looked at."""


class Listing(_Strict, frozen=True, kw_only=True):
    """vm.list, vm.discover, node.drivers"""


class Validate(_Strict, frozen=True, kw_only=True):
    """vm.validate"""

    spec: Spec


class OneVm(_Strict, frozen=True, kw_only=True):
    """vm.get, vm.stats, vm.snapshot.list"""

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
    keep_disks: bool = False


class Update(Mutating, frozen=True, kw_only=True):
    """vm.update: fields of the spec, each replaced whole."""

    vm: Target
    patch: Annotated[dict[str, Any], Meta(min_length=1, max_length=64)]


class SnapshotOne(Mutating, frozen=True, kw_only=True):
    """vm.snapshot.restore, vm.snapshot.delete"""

    vm: Target
    name: Name


class SnapshotCreate(SnapshotOne, frozen=True, kw_only=True):
    """vm.snapshot.create; with memory a machine that runs goes on from there when it is restored."""

    memory: bool = False


class Execute(_Strict, frozen=True, kw_only=True):
    """vm.exec"""

    vm: Target
    argv: Annotated[tuple[Argument, ...], Meta(min_length=1, max_length=256)]
    timeout_s: Annotated[float, Meta(gt=0, le=50)] = 10.0
    requested_by: Who = ""
    via_hub: Who = ""
    request_id: Token | None = None


class Cancel(_Strict, frozen=True, kw_only=True):
    """op.cancel"""

    op_id: Token
    requested_by: Who = ""
    via_hub: Who = ""
    request_id: Token | None = None


class ConsoleLog(_Strict, frozen=True, kw_only=True):
    """vm.console.log; no offset asks for the end of the log."""

    vm: Target
    offset: Annotated[int, Meta(ge=0, le=1 << 60)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1 << 20)] = 64 * 1024


class Logs(_Strict, frozen=True, kw_only=True):
    """vm.logs: what the driver's programs said, what the agent saw, or what was ordered."""

    vm: Target
    source: Literal["driver", "agent", "ops"] = "agent"
    tail: Annotated[int, Meta(ge=1, le=1000)] = 100


class ConsoleOpen(_Strict, frozen=True, kw_only=True):
    """The stream vm.console.open; `ro` only looks on. It begins at the offset `since` of the log, else
    `tail` bytes before its end."""

    vm: Target
    mode: Literal["rw", "ro"] = "rw"
    since: Annotated[int, Meta(ge=0, le=1 << 60)] | None = None
    tail: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    requested_by: Who = ""
    via_hub: Who = ""


class ConsoleSend(_Strict, frozen=True, kw_only=True):
    """vm.console.send"""

    vm: Target
    data: Annotated[str, Meta(min_length=1, max_length=4096)]
    requested_by: Who = ""
    via_hub: Who = ""
    request_id: Token | None = None


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
        raise RpcError("invalid_params", in_words(error)) from error
    if found.node is not None and found.node != node_id:
        raise RpcError("not_found", f"this node is {node_id}, not {found.node!r}")
    return found


def digest_of(params: _Strict) -> str:
    """One text for everything in a call that has an effect, whatever the order of its fields."""
    effect = {
        key: value
        for key, value in msgspec.to_builtins(params).items()
        if key not in WITHOUT_EFFECT
    }
    return hashlib.sha256(msgspec.json.encode(effect, order="sorted")).hexdigest()
