"""The parameters of the hub's own RPC methods: the same types validate and describe."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from shared.errors import RpcError
from shared.pattern_words import in_words
from shared.ranges import SEQ_MAX

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Nothing(Struct, forbid_unknown_fields=True):
    """No parameters."""


class OfNode(Struct, forbid_unknown_fields=True):
    """One node, by id."""

    node: Name


class LabelNode(Struct, forbid_unknown_fields=True):
    """A node and all the labels it should have."""

    node: Name
    labels: dict[
        Annotated[str, Meta(min_length=1, max_length=63)], Annotated[str, Meta(max_length=200)]
    ]


class DrainNode(Struct, forbid_unknown_fields=True):
    """A node whose buffer should be pushed out, and how long that may take."""

    node: Name
    deadline_s: Annotated[float, Meta(ge=0, le=86400)] = 600.0
    request_id: Name | None = None


class DrainsOfNode(Struct, forbid_unknown_fields=True):
    """A node, and which of its drains; without an id all that run and those that ended last."""

    node: Name
    request_id: Name | None = None


class CancelDrain(Struct, forbid_unknown_fields=True):
    """A drain of a node, by the request id that it was begun with."""

    node: Name
    request_id: Name


class ShowLedger(Struct, forbid_unknown_fields=True):
    """The ledger of a node, as this hub holds it or as another one does."""

    node: Name
    hub: Name | None = None


class VerifyLedger(Struct, forbid_unknown_fields=True):
    """Which numbers of which epochs of a node to check, and where the last page ended."""

    node: Name
    first: Annotated[int, Meta(ge=1, le=SEQ_MAX)] = field(default=1, name="from")
    last: Annotated[int, Meta(ge=1, le=SEQ_MAX)] = field(default=SEQ_MAX, name="to")
    epoch: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    cursor: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    hub: Name | None = None


class ListConflicts(Struct, forbid_unknown_fields=True):
    """The newest conflicts, of all nodes or of one."""

    node: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    hub: Name | None = None


def read(kind: type[Struct], params: dict[str, Any]) -> Any:
    """Check named parameters; raises RpcError invalid_params that says which one is wrong."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        raise RpcError("invalid_params", f"parameters: {in_words(error)}") from error
