"""From what an election tells to events and hooks: the leadership of this hub begins, and ends."""

from collections.abc import Callable, Mapping
from typing import Any

from hub.lead.hooks import HookCall, HookKind, Hooks
from hub.lead.mode import Mode
from hub.lead.model import LEADER_ELECTED, LEADER_LOST, Tell

TellEvent = Callable[[str, Mapping[str, Any]], None]


class LeadVoice:
    """Takes a Tell; every start that is put is followed by one stop, with the same fence."""

    def __init__(self, hub_id: str, tell: TellEvent) -> None:
        self._hub_id = hub_id
        self._tell = tell
        self._hooks: Hooks | None = None
        self._fence: int | None = None

    def give(self, hooks: Hooks) -> None:
        """Run these hooks from now on."""
        self._hooks = hooks

    def begin(self, term: int, mode: Mode) -> None:
        """Let the stop hook of an earlier life run: a crash has left behind what a start began."""
        facts = {"term": term, "leader": "", "mode": str(mode), "reason": "this hub has started"}
        self._put(HookKind.STOP, facts, term)

    def __call__(self, told: Tell) -> None:
        """Tell people, and let the hooks of a beginning or an end run."""
        self._tell(told.name, told.facts)
        facts = told.facts
        if told.name == LEADER_ELECTED and facts["leader"] == self._hub_id:
            self._fence = facts["term"]
            self._put(HookKind.START, facts, self._fence)
        elif told.name == LEADER_LOST and self._fence is not None:
            self._put(HookKind.STOP, facts, self._fence)
            self._fence = None

    def _put(self, kind: HookKind, facts: Mapping[str, Any], fence: int) -> None:
        if self._hooks is None:
            return
        self._hooks.put(
            HookCall(
                kind,
                self._hub_id,
                facts["term"],
                fence,
                facts["leader"],
                facts["mode"],
                facts["reason"],
            )
        )
