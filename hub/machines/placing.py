"""Chooses a node for a VM that names none, and says why: by what nodes told, and then by asking the best
of them whether they can run it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub import params
from hub.machines.faults import LOST_ON_THE_WAY
from hub.machines.params import CreateMachine, PlacementHint, ValidateMachine
from hub.machines.placing_rules import (
    Hint,
    Place,
    by_preference,
    in_words,
    memory_bytes_of,
    place_of,
    reason,
    why_not,
)
from hub.machines.router import Router
from hub.machines.sieve import briefs_of
from hub.nodes.sieve import label_wish
from shared.errors import RpcError
from shared.liveness import NodeState
from shared.merge import LABELS

LOOKED_AT_ONCE = 500
ASKED_AT_ONCE = 4
ASKED_MAX = 16
"""More that say no are a fleet that cannot run it."""
ASK_MS_MAX = 5000
CONSIDERED_MAX = 64

LIVE = frozenset({NodeState.ONLINE, NodeState.LATE})

Answer = dict[str, Any]


@dataclass(slots=True)
class Placing:
    """Answers vm.create and vm.validate, also without a node. Raises RpcError."""

    router: Router

    async def create(self, raw: Answer) -> Answer:
        """Make a VM on a node; without one this hub chooses: spec, start, id, node or placement."""
        wanted: CreateMachine = params.read(CreateMachine, _given(raw))
        rest = {name: value for name, value in raw.items() if name != "placement"}
        if wanted.node is not None:
            self._refuse_both(wanted.placement)
            return await self.router.answer("vm.create", rest)
        if wanted.request_id is not None:
            # Another hub, or this one later, could choose another node, and there would be two.
            message = (
                "a request_id can only be repeated on the same node: name it, "
                "vm.validate without a node chooses one"
            )
            raise RpcError("invalid_params", message)
        chosen = await self.choose(wanted.spec, wanted.placement)
        answer = await self.router.answer("vm.create", {**rest, "node": chosen["node_id"]})
        return {**answer, "placement": chosen["placement"]}

    async def validate(self, raw: Answer) -> Answer:
        """What would come of a spec on a node; without one this hub chooses: spec, node or placement."""
        wanted: ValidateMachine = params.read(ValidateMachine, _given(raw))
        if wanted.node is not None:
            self._refuse_both(wanted.placement)
            rest = {name: value for name, value in raw.items() if name != "placement"}
            return await self.router.answer("vm.validate", rest)
        return await self.choose(wanted.spec, wanted.placement)

    async def choose(self, spec: Mapping[str, Any], wanted: PlacementHint | None) -> Answer:
        """What the best node says of a spec, with why it is that node; raises insufficient."""
        hint, memory = _hint_of(wanted), memory_bytes_of(spec)
        fit, considered = await self._sift(hint, memory)
        ranked, refused = by_preference(fit), list[Answer]()
        for begin in range(0, min(len(ranked), ASKED_MAX), ASKED_AT_ONCE):
            asked = ranked[begin : min(begin + ASKED_AT_ONCE, ASKED_MAX)]
            said = await asyncio.gather(*(self._ask(each, spec) for each in asked))
            for place, (answer, problem) in zip(asked, said, strict=True):
                if answer is not None:
                    why = reason(place, len(ranked))
                    told = [*refused, *considered][:CONSIDERED_MAX]
                    placement = {"why": why, "considered": told}
                    return {**answer, "placement": placement}
                refused.append({"node_id": place.node_id, "why": problem})
        raise self._nobody([*refused, *considered])

    async def _sift(self, hint: Hint, memory_bytes: int) -> tuple[list[Place], list[Answer]]:
        """The nodes that could take it, and the others with why they cannot."""
        fit, others = list[Place](), list[Answer]()
        for number, node in enumerate(list(self.router.registry.roster.names), 1):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            place = self._place(node)
            why = "" if place is None else why_not(place, hint, memory_bytes)
            if place is not None and not why:
                fit.append(place)
            elif place is not None and len(others) < CONSIDERED_MAX:
                others.append({"node_id": node, "why": why})
        return fit, others

    def _place(self, node: str) -> Place | None:
        registry = self.router.registry
        record = registry.records.get(node)
        if record is None or node not in registry.roster:
            return None  # It was removed a moment ago.
        seen, labels = registry.newest(node), record.intent_value(LABELS)
        return place_of(
            node,
            seen.data if seen else {},
            record.facts.data if record.facts else {},
            briefs_of(seen),
            is_live=registry.state(node) in LIVE,
            is_draining=registry.is_draining(record),
            labels=labels if isinstance(labels, Mapping) else {},
        )

    async def _ask(self, place: Place, spec: Mapping[str, Any]) -> tuple[Answer | None, str]:
        """What a node says of a spec, or why it cannot run it. Raises RpcError for a bad spec."""
        sent = {"spec": spec}
        try:
            answer = await self.router.ask(
                place.node_id, "vm.validate", sent, deadline_ms=ASK_MS_MAX
            )
        except RpcError as error:
            if error.kind not in LOST_ON_THE_WAY | {"busy", "method_not_found"}:
                raise
            return None, str(error)
        problems = answer.get("problems")
        if not isinstance(problems, list) or not problems:
            return answer, ""
        first = problems[0] if isinstance(problems[0], Mapping) else {}
        return None, f"{first.get('kind')}: {first.get('message')}"

    def _nobody(self, considered: Sequence[Answer]) -> RpcError:
        if not considered:
            return RpcError("insufficient", "there is no node to put it on")
        message = f"no node can take it: {in_words(considered)}"
        data = {"considered": list(considered[:CONSIDERED_MAX])}
        return RpcError("insufficient", message, data)

    def _refuse_both(self, placement: PlacementHint | None) -> None:
        if placement is not None:
            message = "name the node, or say by a placement which one: one of the two"
            raise RpcError("invalid_params", message)


def _given(raw: Answer) -> Answer:
    """The parameters that say something."""
    return {name: value for name, value in raw.items() if value not in (None, "")}


def _hint_of(wanted: PlacementHint | None) -> Hint:
    if wanted is None:
        return Hint()
    labels = [wanted.labels] if isinstance(wanted.labels, str) else wanted.labels
    return Hint(
        tuple(map(label_wish, labels)),
        None if wanted.nodes is None else frozenset(wanted.nodes),
        frozenset(wanted.not_nodes),
    )
