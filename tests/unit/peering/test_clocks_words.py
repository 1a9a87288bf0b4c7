"""What people read of clocks: events as sentences, the command, and what the overview warns of."""

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hub.cli.clocks import clocks, off
from hub.cli.peers import peers
from hub.own_event import event_of
from hub.settings import HubSettings
from hub.web.clock_pages import EDGES_ASKED
from hub.web.event_words import sentence_of
from hub.web.fleet_pages import attention
from hub.web.page import Call
from hub.web.show_as import command
from shared.settings import option_of
from tests.unit.cli.conftest import Counterpart
from tests.unit.peering.clock_mesh import Mesh, answer_of

Run = Callable[..., Result]
OFF = {"hub": "hub-3", "is_own": False, "offset_ms": 7_012.4, "by": "hub-1, hub-2, hub-3"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Counterpart]:
    made = Counterpart("hub-1")
    made.announce(tmp_path)
    yield made
    made.close()


@pytest.fixture
def run(tmp_path: Path, hub: Counterpart) -> Run:
    def ask(*words: str) -> Result:
        result = CliRunner().invoke(clocks, words, env={"DATA": str(tmp_path)})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return ask


@pytest.mark.parametrize(
    ("name", "facts", "severity", "sentence"),
    [
        (
            "clock.suspect",
            OFF | {"offset_ms": -612.0},
            "warn",
            "The clock of hub-3 is 612 ms behind, by the clocks of hub-1, hub-2, hub-3",
        ),
        (
            "clock.quarantined",
            OFF | {"is_own": True},
            "error",
            "The clock of this hub is 7.01 s ahead, by the clocks of hub-1, hub-2, hub-3:"
            " its orders wait until it is right",
        ),
        ("clock.sound", OFF, "info", "The clock of hub-3 is right again"),
        (
            "clock.stepped",
            {"hub": "hub-3", "is_own": False, "by_ms": -7_000.0},
            "warn",
            "The clock of hub-3 was set back by 7.00 s",
        ),
        ("clock.stepped", {"is_own": True}, "warn", "The clock of this hub was set"),
    ],
)
def test_an_event_says_whose_clock_is_off_and_by_how_much(
    name: str, facts: dict[str, Any], severity: str, sentence: str
) -> None:
    assert sentence_of({"type": name, "attributes": facts}) == sentence
    assert event_of(1, name, facts).severity == severity


def test_the_table_has_this_hub_its_peers_the_worst_edges_and_what_waits(
    run: Run, hub: Counterpart
) -> None:
    answer = answer_of(Mesh({"a": 0.0, "b": 0.0, "c": 7_200.0}).run(5), "a", (0, 0, 0, 90_000))
    hub.answers["clock.list"] = answer
    shown = run("--limit", "5").stdout
    lines = shown.splitlines()
    assert lines[0].split()[:2] == ["HUB", "VERDICT"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["a", "sound"],
        ["c", "quarantined"],
        ["b", "sound"],
    ]
    assert "+7.20 s" in lines[2]
    assert "edge-3" in shown
    assert "+90.00 s" in shown
    assert "1 order waits for a clock" in shown
    assert hub.asked == [("clock.list", {"limit": 5})]


def test_a_hub_that_is_wrong_says_so_last(run: Run, hub: Counterpart) -> None:
    hub.answers["clock.list"] = answer_of(Mesh({"a": 0.0, "b": 0.0, "c": 7_200.0}).run(5), "c", ())
    shown = run().stdout.splitlines()
    assert shown[-2:] == ["", "Two hubs say that this hub's clock is 7.2 s ahead"]


def test_programs_get_the_answer_as_it_is_and_the_edges_alone_when_they_ask(
    run: Run, hub: Counterpart
) -> None:
    answer = answer_of(Mesh({"a": 0.0, "b": 0.0}).run(5), "a", (90_000,))
    hub.answers["clock.list"] = answer
    assert json.loads(run("-o", "json").stdout) == answer
    rows = run("-o", "csv").stdout.splitlines()
    assert [row.split(",")[0] for row in rows] == ["hub", "a", "b"]
    alone = run("--edges", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["node_id"] for line in alone] == ["edge-0"]


def test_the_list_of_edges_has_those_too_that_are_not_off(run: Run, hub: Counterpart) -> None:
    hub.answers["clock.list"] = answer_of(Mesh({"a": 0.0, "b": 0.0}).run(5), "a", (5, -90))
    rows = run("--edges").stdout.splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [["edge-1", "-90.0"], ["edge-0", "+5.0"]]
    assert hub.asked[-1] == ("clock.list", {"limit": 20, "edges": "all"})


def test_without_edges_the_list_of_edges_says_that_nothing_matched(
    run: Run, hub: Counterpart
) -> None:
    hub.answers["clock.list"] = answer_of(Mesh({"a": 0.0, "b": 0.0}).run(5), "a")
    assert run("--edges").exit_code == 4


@pytest.mark.parametrize(
    ("ms", "shown"), [(0.0, "+0.0 ms"), (-12.34, "-12.3 ms"), (61_000, "+61.00 s"), (None, "-")]
)
def test_a_side_is_a_sign(ms: float | None, shown: str) -> None:
    assert off(ms) == shown


def test_the_page_shows_its_command_and_the_command_is_there() -> None:
    words = command(Call("clock.list", {"limit": EDGES_ASKED}))
    assert shlex.join(words) == "peers clocks --limit 200"
    assert peers.get_command(None, "clocks") is clocks  # type: ignore[arg-type]


def test_the_overview_warns_of_this_hubs_own_clock() -> None:
    said = "Two hubs say that this hub's clock is 7.0 s ahead"
    mine = {"hub_id": "hub-3", "state": "self"}
    wrong = mine | {"clock": {"verdict": "quarantined", "sentence": said}}
    assert attention([], [wrong]) == [
        {"level": "bad", "sentence": f"{said}.", "address": "/hubs/clocks"}
    ]
    assert attention([], [mine | {"clock": {"verdict": "sound", "sentence": None}}]) == []


@pytest.mark.parametrize(
    ("written", "seconds"), [("500ms", 0.5), ("10ms", 0.01), ("2s", 2.0), ("1h", 3600.0)]
)
def test_max_skew_is_a_duration(written: str, seconds: float) -> None:
    (field,) = (
        each for each in HubSettings.__dataclass_fields__.values() if each.name == "max_skew"
    )
    assert option_of(field).read(written) == seconds
    for refused in ("0", "9ms", "2h", "soon"):
        with pytest.raises(ValueError, match="a duration"):
            option_of(field).read(refused)
