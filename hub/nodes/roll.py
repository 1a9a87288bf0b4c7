"""Who belongs to the fleet: people register nodes, remove them, and give them roles, through any hub."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from hub.describe import Now, describe_node, time_of_ms
from hub.nodes.enrolment import way_back
from hub.nodes.removals import Removals
from hub.nodes.tombstones import WORDS_LENGTH_MAX, removal_value
from hub.params import read
from hub.registry import Registry
from shared.beat import NodeId
from shared.errors import BadInput, RpcError
from shared.label_name import check_label_names
from shared.liveness import NodeState
from shared.merge import LABELS, REGISTERED, REMOVED, ROLE, NodeRecord

Words = Annotated[str, Meta(max_length=WORDS_LENGTH_MAX)]
Role = Annotated[str, Meta(pattern=r"\A([a-z0-9][a-z0-9._-]{0,62})?\Z")]
"""A small word, like `db.primary`; empty for none."""

LISTED_MAX = 1000


class RegisterNode(Struct, forbid_unknown_fields=True):
    """A node that may come, or come back; with labels and a role, and by whose word."""

    node: NodeId
    labels: dict[
        Annotated[str, Meta(min_length=1, max_length=63)], Annotated[str, Meta(max_length=200)]
    ] = field(default_factory=dict)
    role: Role = ""
    who: Words = "an operator"


class RemoveNode(Struct, forbid_unknown_fields=True):
    """A node that is gone for good: why, by whose word, and whether even if it still beats."""

    node: NodeId
    why: Words = ""
    who: Words = "an operator"
    force: bool = False


class SetRole(Struct, forbid_unknown_fields=True):
    """A node and its role; without one it has none."""

    node: NodeId
    role: Role = ""


class ListRemoved(Struct, forbid_unknown_fields=True):
    """How many, those that were removed last first."""

    limit: Annotated[int, Meta(ge=1, le=LISTED_MAX)] = 100


@dataclass(frozen=True, slots=True)
class Roll:
    """The roll of the fleet, as one hub keeps it for all."""

    registry: Registry
    removals: Removals
    intend: Callable[[str, str, object], Awaitable[None]]
    """Sets a field of a node for all hubs; returns once it is on disk."""

    async def register(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Expect a node before it ever beats, or let a removed one back."""
        wanted = read(RegisterNode, raw)
        try:
            check_label_names(wanted.labels)
        except BadInput as error:
            raise RpcError("invalid_params", str(error), {"node": wanted.node}) from error
        removal = self.removals.removal(wanted.node)
        if removal is None and wanted.node in self.registry.records:
            text = f"{wanted.node} is here already: node.label and node.setRole change it"
            raise RpcError("conflict", text, {"node": wanted.node})
        if removal is not None:
            await self._let_back(wanted.node)
        wall_ms = self.removals.wall_ms()
        await self.intend(wanted.node, REGISTERED, {"at_ms": wall_ms, "by": wanted.who})
        if wanted.labels:
            await self.intend(wanted.node, LABELS, wanted.labels)
        if wanted.role:
            await self.intend(wanted.node, ROLE, wanted.role)
        facts = {"node_id": wanted.node, "by": wanted.who, "was_removed": removal is not None}
        self.removals.report("node.registered", facts)
        return self._described(wanted.node)

    async def _let_back(self, node_id: str) -> None:
        """Begin a new life of a node, which outranks everything that was said of it before."""
        self.removals.unearth(node_id)
        await self.intend(node_id, REMOVED, False)

    async def remove(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Take a node out of the fleet on all hubs; what it sent stays as long as retention says."""
        wanted = read(RemoveNode, raw)
        record = self._present(wanted.node)
        if not wanted.force:
            self._refuse_what_lives(record)
        unsent = self._unsent(wanted.node)
        at_ms = self.removals.wall_ms()
        await self.intend(wanted.node, REMOVED, removal_value(at_ms, wanted.who, wanted.why))
        facts = {"node_id": wanted.node, "by": wanted.who, "why": wanted.why}
        self.removals.report("node.removed", facts)
        return {**facts, "removed": time_of_ms(at_ms), "unsent_records": unsent}

    def _present(self, node_id: str) -> NodeRecord:
        """The record of a node that is here; raises RpcError not_found or conflict."""
        removal = self.removals.removal(node_id)
        if removal is not None:
            raise RpcError("conflict", way_back(node_id, removal), {"node": node_id})
        record = self.registry.records.get(node_id)
        if record is None:
            raise RpcError("not_found", f"no node is called {node_id}", {"node": node_id})
        return record

    def _refuse_what_lives(self, record: NodeRecord) -> None:
        node_id, now = record.node_id, self.removals.now()
        age = self.registry.life.age_seconds(node_id, now)
        state = self.registry.state(node_id)
        if state is NodeState.OFFLINE or (age is None and record.observation is None):
            return
        if state is NodeState.UNKNOWN:
            text = f"this hub does not know whether {node_id} lives"
        else:
            heard = "" if age is None else f", heard {age:.1f} s ago"
            text = f"{node_id} still beats ({state}{heard}): stop its edge first"
        text = f"{text}; it can be removed all the same with force, and is sent away from then on"
        raise RpcError("invalid_state", text, {"node": node_id, "state": str(state)})

    def _unsent(self, node_id: str) -> int | None:
        """How many records it held last that no hub had; None for a node that was never heard."""
        seen = self.registry.newest(node_id)
        told = (seen.data.get("buffer") or {}) if seen else {}
        count = told.get("pending_records")
        return count if isinstance(count, int) else None

    async def set_role(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Give a node a role, or none."""
        wanted = read(SetRole, raw)
        self._present(wanted.node)
        await self.intend(wanted.node, ROLE, wanted.role)
        return self._described(wanted.node)

    def _described(self, node_id: str) -> dict[str, Any]:
        now = Now(self.removals.now(), self.removals.wall_ms())
        return describe_node(self.registry, self.registry.records[node_id], now)

    async def removed(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The nodes that were removed, with those that still ask to come back."""
        wanted, known = read(ListRemoved, raw), self.removals.known()
        requests = self.removals.enrolment.requests
        items = [
            {
                "node": node_id,
                "removed": time_of_ms(removal.at_ms),
                "by": removal.by,
                "why": removal.why,
                "asks_since": time_of_ms(asked.first_ms)
                if (asked := requests.get(node_id))
                else None,
                "asked_last": time_of_ms(asked.last_ms) if asked else None,
                "refused_beats": asked.beats if asked else 0,
            }
            for node_id, removal in known[: wanted.limit]
        ]
        return {"items": items, "total": len(known)}
