"""The index may be killed or deleted at any moment: answers are right all the same, and say how far
behind it is."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest

from tests.system.processes import Fleet, HubProcess, eventually

WORKER = "hub.index.worker"
QUERY_PROCESS = "hub.query_worker"
SEVERITIES = {"info": 9, "warn": 13, "error": 17}
WORDS = ("apple", "birch", "cedar", "daisy", "elder")
RECORDS_EACH = 200
BEHIND_SECONDS = 40.0
SERVICE = "garden"


@dataclass(frozen=True, slots=True)
class Line:
    """One log record as it was sent."""

    text: str
    severity: int


@dataclass
class Garden:
    """A hub with an edge, and every record that the edge has acknowledged."""

    hub: HubProcess
    otlp_url: str
    lines: list[Line] = field(default_factory=list)

    def sow(self, requests: int) -> None:
        """Send some more records, each unlike all others, and wait until the hub can tell of them."""
        with httpx.Client(timeout=20, trust_env=False) as client:
            for _ in range(requests):
                first = len(self.lines)
                lines = [line_of(number) for number in range(first, first + RECORDS_EACH)]
                answer = client.post(f"{self.otlp_url}/v1/logs", json=request_of(lines))
                assert answer.status_code == 200
                self.lines += lines
        eventually(
            lambda: len(self.hub.records(service=SERVICE)) == len(self.lines), "all is there"
        )

    def wanted(self, test: Callable[[Line], bool]) -> list[str]:
        return sorted(line.text for line in self.lines if test(line))

    def found(self, **query: Any) -> list[str]:
        return sorted(each["body"] for each in self.hub.records(service=SERVICE, **query))

    def assert_answers_are_right(self) -> None:
        """By word, by severity, by both, and by a piece of text, as the sender remembers it."""
        assert self.found(words=["cedar"]) == self.wanted(lambda line: "cedar" in line.text)
        assert self.found(severity="error") == self.wanted(lambda line: line.severity >= 17)
        assert self.found(words=["birch"], severity="warn", severity_max="warn") == self.wanted(
            lambda line: "birch" in line.text and line.severity == 13
        )
        assert self.found(text="number 77") == self.wanted(lambda line: "number 77" in line.text)
        assert self.found(words=["nowhere"]) == []

    def behind(self) -> int | None:
        """How many chunks the index lacks, as an answer says; None while nobody knows."""
        index: Mapping[str, Any] = self.hub.call("log.query", limit=1)["coverage"]["index"]
        return None if index["behind_chunks"] is None else int(index["behind_chunks"])

    def until_indexed(self) -> None:
        eventually(lambda: self.behind() == 0, "the index has everything", BEHIND_SECONDS)

    def worker(self) -> psutil.Process:
        """The process that makes the index now; waits until there is one."""
        return eventually(lambda: self.hub.children(WORKER), "there is a worker")[0]

    @property
    def index_files(self) -> set[str]:
        folder = self.hub.database.parent / "index"
        return {path.name for path in folder.glob("*.logs.db")}


def line_of(number: int) -> Line:
    severity = list(SEVERITIES.values())[number % 7 % 3]
    return Line(f"{WORDS[number % len(WORDS)]} number {number}", severity)


def request_of(lines: list[Line]) -> dict[str, Any]:
    """An OTLP/JSON request with these records."""
    records = [
        {"severityNumber": line.severity, "body": {"stringValue": line.text}} for line in lines
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}


@pytest.fixture
def garden(fleet: Fleet) -> Garden:
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub])
    fleet.settled([hub], edge)
    garden = Garden(hub, edge.otlp_url)
    garden.sow(10)
    return garden


@pytest.fixture
def paused(garden: Garden) -> Iterator[psutil.Process]:
    """The process that makes the index, standing still until it is killed or the test ends."""
    garden.until_indexed()
    worker = garden.worker()
    worker.suspend()
    yield worker
    if worker.is_running():
        worker.kill()


def test_answers_are_right_while_the_index_worker_is_killed_again_and_again(garden: Garden) -> None:
    """Another one is started each time, and goes on where the last one was."""
    garden.until_indexed()
    for _ in range(3):
        worker = garden.worker()
        worker.kill()
        garden.sow(2)
        garden.assert_answers_are_right()
    garden.until_indexed()
    garden.assert_answers_are_right()


def test_answers_say_how_far_behind_a_worker_is_that_stands_still_or_nothing_is_known(
    garden: Garden, paused: psutil.Process
) -> None:
    """What came since a worker hangs counts as behind; after it is killed nothing is known until
    another has looked, and then it catches up."""
    garden.sow(2)
    assert (garden.behind() or 0) > 0
    garden.assert_answers_are_right()
    paused.kill()
    eventually(lambda: garden.behind() is None, "nobody knows how far the index is")
    garden.assert_answers_are_right()
    garden.until_indexed()
    garden.assert_answers_are_right()


def test_an_index_that_is_deleted_under_a_running_hub_is_made_again(garden: Garden) -> None:
    """Answers are right from the first moment on; later the files are there again."""
    garden.until_indexed()
    files = garden.index_files
    assert files
    shutil.rmtree(garden.hub.database.parent / "index")
    garden.assert_answers_are_right()
    garden.sow(2)
    garden.assert_answers_are_right()
    eventually(lambda: garden.index_files >= files, "the index is there again", BEHIND_SECONDS)
    garden.until_indexed()
    garden.assert_answers_are_right()


def test_a_question_is_answered_though_its_process_is_killed(garden: Garden) -> None:
    """Of two questions one is handed to a process that stands still, and then dies; it is asked again."""
    garden.assert_answers_are_right()
    (asked,) = garden.hub.children(QUERY_PROCESS)  # All questions so far came one after the other.
    asked.suspend()
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(garden.found, words=["daisy"]) for _ in range(2)]
        eventually(lambda: any(each.done() for each in answers), "the other process has answered")
        assert not all(each.done() for each in answers)
        asked.kill()
    wanted = garden.wanted(lambda line: "daisy" in line.text)
    assert [each.result() for each in answers] == [wanted, wanted]
    assert asked not in garden.hub.children(QUERY_PROCESS)
