"""An oracle outside of the system: it remembers what was acknowledged, and looks at the disks itself."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx

from shared.codec import decompress
from shared.otlp_rows import log_rows
from shared.records import GENESIS_HASH, MIB, ChunkHeader, Encoding, Signal, read_header
from tests.hub_files import chunks_in
from tests.system.processes import HubProcess, eventually

SERVICE = "oracle"
NOBODY_SECONDS = 0.05
"""Until the next attempt when nobody listened."""


def log_request(ids: Iterable[str]) -> dict[str, object]:
    """An OTLP/JSON request with one log record for each id."""
    records = [{"severityNumber": 9, "body": {"stringValue": each}} for each in ids]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}


@dataclass
class Sender:
    """Sends numbered records again and again while it is entered, and never the same one twice."""

    otlp_url: str
    records_each: int = 10
    acked: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    name: str = "r"
    pause_seconds: float = 0.02
    """Between two requests: some hundred records a second. Without any, one is nearly always under way,
    for tests that kill who takes them, at the price of whole cores."""

    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _sent: int = 0

    def send_once(self, client: httpx.Client) -> bool:
        """One request; True when it was acknowledged."""
        ids = [f"{self.name}-{self._sent + number}" for number in range(self.records_each)]
        self._sent += self.records_each
        try:
            status = client.post(f"{self.otlp_url}/v1/logs", json=log_request(ids)).status_code
        except httpx.TransportError:
            status = 0
        (self.acked if status == 200 else self.unanswered).extend(ids)
        return status == 200

    def _run(self) -> None:
        with httpx.Client(timeout=5, trust_env=False) as client:
            while not self._stop.is_set():
                is_acked = self.send_once(client)
                self._stop.wait(self.pause_seconds if is_acked else NOBODY_SECONDS)

    def __enter__(self) -> "Sender":
        self._stop.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def until_acked(self, more: int) -> None:
        """Wait until so many more records have been acknowledged than now."""
        goal = len(self.acked) + more
        eventually(lambda: len(self.acked) >= goal, f"{more} more records are acknowledged")

    def stop(self) -> None:
        """Send no more; what is under way is waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


@dataclass(frozen=True)
class HeldChunk:
    """A chunk as it lies on a disk."""

    header: ChunkHeader
    hash: bytes
    body: bytes

    def ids(self) -> list[str]:
        """What the oracle's records in it say."""
        if self.header.signal != Signal.LOGS:
            return []
        raw = decompress(self.body, 64 * MIB)
        return [
            str(row.body)
            for row in log_rows(Encoding(self.header.encoding), raw)
            if row.resource.get("service.name") == SERVICE
        ]


def chunks_on_disk(database: Path, origin: str) -> list[HeldChunk]:
    """Every chunk of an origin in a hub's files, in the order of its log. Nothing is changed."""
    return [
        HeldChunk(read_header(chunk.header), chunk.hash, chunk.body)
        for chunk in chunks_in(database.parent)
        if chunk.origin == origin
    ]


def assert_whole_chain(chunks: list[HeldChunk]) -> None:
    """One life, no hole, and every hash is that of the chunk before."""
    assert len({chunk.header.epoch for chunk in chunks}) == 1
    assert [chunk.header.seq for chunk in chunks] == list(range(1, len(chunks) + 1))
    previous = GENESIS_HASH
    for chunk in chunks:
        assert chunk.header.previous_hash == previous, f"the chain breaks at {chunk.header.seq}"
        assert hashlib.sha256(chunk.body).digest() == chunk.header.body_sha256
        previous = chunk.hash


def counted(chunks: list[HeldChunk]) -> Counter[str]:
    """How often each of the oracle's records is there."""
    return Counter(each for chunk in chunks for each in chunk.ids())


def has_all(hub: HubProcess, sender: Sender) -> bool:
    """Whether every acknowledged record is on this hub's disk."""
    return counted(chunks_on_disk(hub.database, "edge-1")).keys() >= set(sender.acked)


def assert_nothing_lost_or_double(held: Counter[str], sender: Sender) -> None:
    """All that was acknowledged is there once; what got no answer is there once or not at all."""
    missing = [each for each in sender.acked if not held[each]]
    double = [each for each, times in held.items() if times > 1]
    unknown = held.keys() - set(sender.acked) - set(sender.unanswered)
    assert (missing[:5], double[:5], sorted(unknown)[:5]) == ([], [], [])
