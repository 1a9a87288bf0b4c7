"""Three hubs elect a leader; it is killed, another follows, and what an operator hooked in runs."""

import sys
from pathlib import Path
from typing import Any

from tests.system.processes import Fleet, HubProcess, eventually
from tests.system.starting import assert_refused, once

HUBS = "LEAD_HUBS=hub-1,hub-2,hub-3"
HOOK = """\
import os, sys
facts = (os.environ["HEADWATER_LEAD_" + name] for name in ("KIND", "HUB", "FENCE"))
with open(sys.argv[1], "a") as file:
    file.write(" ".join(facts) + "\\n")
"""


def standing(hub: HubProcess) -> dict[str, Any]:
    """Who leads as a hub sees it."""
    return hub.ask("peers.leader")


def agreed(hubs: list[HubProcess], after_term: int = 0) -> dict[str, Any]:
    """Wait until these hubs see the same leader in a later term than this; as the leader tells it."""
    seen: list[dict[str, Any]] = []

    def look() -> dict[str, Any] | None:
        seen[:] = [standing(hub) for hub in hubs]
        same = {(each["leader"], each["term"]) for each in seen}
        leading = next((each for each in seen if each["leading"]), None)
        return leading if len(same) == 1 and min(same)[1] > after_term else None

    found = eventually(look, "one leader", last=seen)
    assert found is not None
    return found


def has_said(said: Path, line: str) -> None:
    """Wait until the hooks have written a line."""
    eventually(lambda: said.exists() and line in said.read_text().splitlines(), line)


def test_after_the_leader_is_killed_another_leads_a_higher_term(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Its start hook gets the new fence; the killed one runs its stop hook as soon as it is back."""
    hook, said = tmp_path / "hook.py", tmp_path / "said"
    hook.write_text(HOOK)
    command = f"HOOK_COMMAND={sys.executable} -I -S {hook} {said}"
    hubs = fleet.hubs(3, "LEADER=quorum", HUBS, command)
    first = agreed(hubs)
    has_said(said, f"start {first['hub']} {first['term']}")
    (killed,) = (hub for hub in hubs if hub.name == first["hub"])
    killed.kill()
    left = [hub for hub in hubs if hub is not killed]
    second = agreed(left, after_term=first["term"])
    assert second["hub"] != first["hub"]
    has_said(said, f"start {second['hub']} {second['term']}")
    killed.start()
    agreed(hubs, after_term=first["term"])
    has_said(said, f"stop {first['hub']} {first['term']}")


def test_a_leader_that_is_stopped_hands_over_and_runs_its_stop_hook(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Before its process ends."""
    hook, said = tmp_path / "hook.py", tmp_path / "said"
    hook.write_text(HOOK)
    command = f"HOOK_COMMAND={sys.executable} -I -S {hook} {said}"
    hubs = fleet.hubs(3, "LEADER=quorum", HUBS, command)
    first = agreed(hubs)
    has_said(said, f"start {first['hub']} {first['term']}")
    (stopped,) = (hub for hub in hubs if hub.name == first["hub"])
    assert stopped.stop() == 0
    lines = said.read_text().splitlines()
    assert f"stop {first['hub']} {first['term']}" in lines
    second = agreed([hub for hub in hubs if hub is not stopped], after_term=first["term"])
    assert second["hub"] != first["hub"]


def test_two_hubs_refuse_a_majority_and_say_why(venv: str, short_folder: Path) -> None:
    """A majority of two is both: it would stop more often than one hub alone."""
    words = ["MODE=master", "HUB_ID=hub-1", "LEADER=quorum", "LEAD_HUBS=hub-1,hub-2"]
    done = once(venv, *words, "CLUSTER_KEY=k", f"DATA={short_folder}")
    assert_refused(done, "a majority of two is both: add a third hub to lead_hubs")
