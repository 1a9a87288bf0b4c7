"""An edge and the settings from its hubs: all or nothing, kept for the next start, never in the way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.conf.applier import Applier, begin
from edge.conf.follow import LOOK_SECONDS, Follower
from edge.conf.last_good import FILE, read_last_good, write_last_good
from edge.conf.overlay import overlay
from edge.settings import EdgeSettings
from shared.conf import DOCUMENT_BYTES_MAX, EMPTY_HASH, Document, write_document
from shared.conf_report import Report, Wanted
from shared.conf_scope import EDGES
from shared.conf_table import AT_ONCE, TABLES
from shared.errors import BadInput, SettingsError, Unavailable, Unreachable
from tests.unit.conf.world import World
from tests.unit.hub.peer_stage import in_virtual_time

OWN = EdgeSettings(node_id="n1", log_level="warning")


async def at_once(work: Callable[[], Any]) -> Any:
    """Blocking work, without a thread."""
    return work()


class Edge:
    """An edge with two parts that change while it runs; `refuses` is a level that one will not take."""

    def __init__(self, folder: Path, refuses: str = "") -> None:
        self.folder, self.refuses = folder, refuses
        self.level = ""
        self.metrics_seconds = 0.0
        self.start()

    def start(self) -> None:
        """Begin a life."""
        begun = begin(self.folder, overlay(OWN))
        self.level = begun.settings.log_level
        self.metrics_seconds = begun.settings.host_metrics_seconds
        setters: dict[str, Callable[[Any], None]] = {
            "host_metrics_seconds": self.take_seconds,
            "log_level": self.take_level,
        }
        self.applier = Applier(self.folder, overlay(OWN), setters, at_once, begun)

    def take_seconds(self, seconds: float) -> None:
        self.metrics_seconds = seconds

    def take_level(self, level: str) -> None:
        if level == self.refuses:
            raise BadInput("no such level here")
        self.level = level

    def apply(self, **settings: Any) -> bool:
        """Settings from a hub."""
        return asyncio.run(self.applier.apply(Document(settings)))


def test_settings_go_over_those_of_the_owner_and_back_again() -> None:
    settle = overlay(OWN)
    assert settle({"log_level": "debug", "tail": ["/a.log"]}).log_level == "debug"
    assert settle({"tail": ["/a.log"]}).tail[0].pattern == "/a.log"
    assert settle({}) == OWN


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"log_level": "loud"}, "log_level must be one of"),
        ({"otlp_host": "0.0.0.0"}, "otlp_host is not a setting that hubs can give"),
        ({"log_levl": "info"}, "log_level"),
        ({"tail": ["/**/**/**"]}, "tail must be"),
        ({"alerts": [{"name": "x", "metric": "m"}]}, "threshold is missing"),
        ({"buffer_floors": {"logs": 0.7, "events": 0.7}}, "more than the whole buffer"),
        ({"scrape_seconds": 1.0, "scrape_timeout_seconds": 2.0}, "scrape_timeout_seconds"),
        ({"buffer_bytes_max": 5}, "buffer_bytes_max must be"),
        ({"buffer_floors": {"traces": 0.5}}, "of which buffer_ceilings allow 0.3"),
        ({"scrape_timeout_seconds": 60.0}, "must not be more than scrape_seconds (15)"),
    ],
)
def test_what_does_not_fit_this_edge_is_refused_with_the_reason(
    wanted: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SettingsError, match=r"\w") as refused:
        overlay(replace(OWN, buffer_ceilings={"traces": 0.3}))(wanted)
    assert reason in str(refused.value)


def test_what_the_owner_contradicts_alone_stops_nothing_of_the_hubs() -> None:
    own = replace(OWN, scrape_seconds=5.0, scrape_timeout_seconds=9.0)
    assert overlay(own)({"buffer_floors": {"traces": 0.5}}).scrape_timeout_seconds == 9.0


def test_every_setting_that_hubs_can_give_is_one_of_the_edge() -> None:
    assert TABLES[EDGES].keys() <= {item.name for item in fields(EdgeSettings)}


def test_applied_settings_hold_at_once_and_after_a_restart_without_hubs(tmp_path: Path) -> None:
    edge = Edge(tmp_path)
    assert edge.apply(log_level="debug")
    assert edge.level == "debug"
    edge.start()
    assert edge.level == "debug"
    assert edge.applier.report().applied == Document({"log_level": "debug"}).hash
    assert edge.apply()
    assert edge.level == "warning"
    assert edge.applier.report().applied == EMPTY_HASH


def test_a_setting_that_is_refused_by_the_settings_leaves_everything(tmp_path: Path) -> None:
    edge = Edge(tmp_path)
    edge.apply(log_level="debug")
    good = edge.applier.report().applied
    assert not edge.apply(log_level="info", tail=["/**/**/**"])
    report = edge.applier.report()
    assert (edge.level, report.applied) == ("debug", good)
    assert report.refused == Document({"log_level": "info", "tail": ["/**/**/**"]}).hash
    assert "tail must be" in report.error
    edge.start()
    assert edge.level == "debug"


def test_a_part_that_refuses_brings_the_others_back(tmp_path: Path) -> None:
    edge = Edge(tmp_path, refuses="error")
    assert not edge.apply(host_metrics_seconds=60.0, log_level="error")
    assert (edge.metrics_seconds, edge.level) == (10.0, "warning")
    assert "log_level cannot be applied: no such level here" in edge.applier.report().error
    assert read_last_good(tmp_path) == Document()


def test_what_cannot_be_kept_on_disk_is_not_applied(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    folder.mkdir()
    edge = Edge(folder)
    folder.rmdir()
    assert not edge.apply(log_level="debug")
    assert edge.level == "warning"
    assert "cannot be kept on disk" in edge.applier.report().error


def test_a_good_set_takes_the_error_away(tmp_path: Path) -> None:
    edge = Edge(tmp_path)
    edge.apply(log_level="loud")
    edge.apply(log_level="info")
    report = edge.applier.report()
    assert (report.refused, report.error) == ("", "")


def test_what_counts_from_the_next_start_is_said_to_wait_until_then(tmp_path: Path) -> None:
    edge = Edge(tmp_path)
    edge.apply(log_level="debug", buffer_policy="shed")
    assert edge.applier.report().waiting == ["buffer_policy"]
    edge.start()
    assert edge.applier.report().waiting == []
    edge.apply(log_level="debug")
    assert edge.applier.report().waiting == ["buffer_policy"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"settings": 5}', b" " * 20, b"\xff"])
def test_a_spoilt_file_never_stops_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    edge = Edge(tmp_path)
    report = edge.applier.report()
    assert (edge.level, report.applied) == ("warning", EMPTY_HASH)
    assert report.error
    assert edge.apply(log_level="debug")
    assert edge.applier.report().error == ""


def test_a_file_of_any_size_is_read_only_so_far(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b" " * (DOCUMENT_BYTES_MAX + 10))
    with pytest.raises(BadInput, match="larger than the limit"):
        read_last_good(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(BadInput, match="cannot be read"):
        read_last_good(tmp_path)


def test_last_good_settings_that_fit_no_more_are_left_out_and_said(tmp_path: Path) -> None:
    """As after a downgrade, or when the owner has changed something that contradicts them."""
    document = Document({"colour": "red"})
    write_last_good(tmp_path, document)
    report = Edge(tmp_path).applier.report()
    assert (report.applied, report.refused) == (EMPTY_HASH, document.hash)
    assert "colour is not a setting" in report.error


def test_settings_of_the_owner_that_are_wrong_stop_the_start_as_ever(tmp_path: Path) -> None:
    def settle(wanted: Any) -> EdgeSettings:
        raise SettingsError("port is taken")

    with pytest.raises(SettingsError, match="port is taken"):
        begin(tmp_path, settle)


def test_the_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    write_last_good(tmp_path, Document({"log_level": "info"}))
    write_last_good(tmp_path, Document({"log_level": "debug"}))
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(Unavailable):
        write_last_good(tmp_path / "nowhere", Document())


class Story:
    """An edge that follows a hub."""

    def __init__(self, folder: Path) -> None:
        self.hub = World(nodes={"n1": {"role": "web"}})
        self.edge = Edge(folder)
        self.asked: list[str] = []
        self.beats = 0
        self.answer: Callable[[], bytes] | None = None
        self.follower = Follower(self.edge.applier, self.fetch, self.beat_soon)

    def beat_soon(self) -> None:
        self.beats += 1

    def fetch(self, hub_id: str) -> Awaitable[bytes]:
        async def fetched() -> bytes:
            self.asked.append(hub_id)
            if self.answer:
                return self.answer()
            labels = self.hub.nodes["n1"]
            return write_document(self.hub.resolver.document("n1", labels))

        return fetched()

    async def beat(self) -> None:
        """One heartbeat with its answer, and what follows from it."""
        report = msgspec.json.decode(msgspec.json.encode(self.follower.report()), type=Report)
        wanted = self.hub.methods.hear("n1", self.hub.nodes["n1"], report)
        self.follower.heard("hub-1", wanted)
        await self.follower.step()


async def test_an_edge_follows_its_hub_and_drift_ends(tmp_path: Path) -> None:
    story = Story(tmp_path)
    await story.beat()
    assert story.asked == []
    await story.hub.methods.set({"settings": {"log_level": "debug"}, "labels": {"role": "web"}})
    assert story.hub.drift.survey(0).totals["behind"] == 1
    await story.beat()
    assert (story.edge.level, story.beats) == ("debug", 1)
    await story.beat()
    assert story.hub.drift.survey(0).totals["current"] == 1
    assert story.asked == ["hub-1"]


async def test_an_edge_that_cannot_apply_says_so_and_recovers(tmp_path: Path) -> None:
    story = Story(tmp_path)
    await story.hub.methods.set({"settings": {"tail": ["/**/**/**"], "buffer_policy": "shed"}})
    for _ in range(3):
        await story.beat()
    assert story.asked == ["hub-1"]
    (item,) = (await story.hub.methods.show_drift({}))["items"]
    assert (item["state"], "tail must be" in item["error"]) == ("refused", True)
    assert [name for name, _ in story.hub.told] == ["conf.refused_by_edge"]
    await story.hub.methods.unset({"keys": ["tail", "buffer_policy"]})
    for _ in range(2):
        await story.beat()
    assert story.hub.drift.survey(0).totals["refused"] == 0
    # What it had refused is wanted by nobody now, and no loss.
    assert story.follower.report() == Report(EMPTY_HASH)
    assert story.hub.told[-1][0] == "conf.refusal_over"


@pytest.mark.parametrize("error", [Unreachable("hub-1", "gone", sent=False), BadInput("what?")])
async def test_a_hub_that_fails_is_asked_again_later(tmp_path: Path, error: Exception) -> None:
    def fail() -> bytes:
        raise error

    story = Story(tmp_path)
    await story.hub.methods.set({"settings": {"tail": ["/a.log"]}})
    story.answer = fail
    for _ in range(3):
        await story.beat()
    assert (story.asked, story.beats) == (["hub-1"], 0)
    assert story.edge.applier.report().applied == EMPTY_HASH


@pytest.mark.parametrize("body", [b"", b"{}", b'{"settings": {"log_level": "info"}}', b"x" * 10**7])
async def test_an_answer_that_is_not_what_was_said_is_not_applied(
    tmp_path: Path, body: bytes
) -> None:
    story = Story(tmp_path)
    await story.hub.methods.set({"settings": {"tail": ["/a.log"]}})
    story.answer = lambda: body
    await story.beat()
    assert story.edge.applier.report().applied == EMPTY_HASH
    assert story.asked == ["hub-1"]


async def test_an_older_hub_changes_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.follower.heard("hub-1", None)
    await story.follower.step()
    assert story.asked == []


def test_the_loop_wakes_up_when_a_heartbeat_wants_something_else(tmp_path: Path) -> None:
    document = Document({"log_level": "debug"})

    async def story() -> None:
        told = Story(tmp_path)
        told.answer = lambda: write_document(document)
        loop = asyncio.create_task(told.follower.run())
        begun = asyncio.get_running_loop().time()
        told.follower.heard("hub-1", Wanted(document.hash))
        while told.edge.level != "debug":
            await asyncio.sleep(0.01)
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop
        assert asyncio.get_running_loop().time() - begun < LOOK_SECONDS

    in_virtual_time(story())


def test_the_loop_looks_by_itself_for_what_may_be_tried_again(tmp_path: Path) -> None:
    """After a failure no heartbeat is needed."""
    document = Document({"log_level": "debug"})

    async def story() -> None:
        told = Story(tmp_path)
        told.answer = lambda: b"what?"
        loop = asyncio.create_task(told.follower.run())
        told.follower.heard("hub-1", Wanted(document.hash))
        await asyncio.sleep(3 * LOOK_SECONDS)
        told.answer = lambda: write_document(document)
        await asyncio.sleep(3 * LOOK_SECONDS)
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop
        assert told.edge.level == "debug"
        assert 2 <= len(told.asked) <= 5

    in_virtual_time(story())


def test_what_the_table_says_to_apply_at_once_is_little_enough_to_be_true() -> None:
    """Whoever adds one also gives the edge a part that takes it while it runs."""
    at_once_keys = {key for key, each in TABLES[EDGES].items() if each.applies == AT_ONCE}
    assert at_once_keys == {"log_level"}
