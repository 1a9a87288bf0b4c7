"""Sends ready-made batches to a hub as edges would, as fast as it answers.

Run as a process of its own (`python -m shared.benchmarks.ship PORT KEY SECONDS NODES`), so that its work
is not counted as the hub's. It prints one JSON object.
"""

import hashlib
import http.client
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from shared.benchmarks.bodies import log_body
from shared.codec import compress
from shared.envelope import MEDIA_TYPE, write_batch
from shared.records import GENESIS_HASH, Chunk, ChunkHeader, Encoding, Signal, seal

BODIES = 16
RECORDS = 1000
CHUNKS_A_BATCH = 16


@dataclass(frozen=True, slots=True)
class Packed:
    """A chunk body with what its header says of it."""

    signal: Signal
    body: bytes
    raw_bytes: int
    records: int
    time_min_ns: int
    time_max_ns: int
    sha256: bytes


def packed(signal: Signal, raw: bytes, records: int, time_min_ns: int, time_max_ns: int) -> Packed:
    """A body, compressed."""
    body = compress(raw)
    digest = hashlib.sha256(body).digest()
    return Packed(signal, body, len(raw), records, time_min_ns, time_max_ns, digest)


@dataclass(slots=True)
class Log:
    """The log of one node: seals chunk after chunk."""

    node: str
    epoch: str
    seq: int = 0
    head: bytes = GENESIS_HASH

    def next(self, content: Packed) -> Chunk:
        """The next chunk."""
        self.seq += 1
        header = ChunkHeader(
            self.node,
            self.epoch,
            self.seq,
            content.signal,
            Encoding.PROTO,
            "zstd",
            content.records,
            content.raw_bytes,
            len(content.body),
            content.time_min_ns,
            content.time_max_ns,
            time.time_ns() // 1_000_000,
            content.sha256,
            self.head,
        )
        chunk = seal(header, content.body)
        self.head = chunk.hash
        return chunk


class Door:
    """A connection to a hub, for one node."""

    def __init__(self, port: int, cluster_key: str, node: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {
            "authorization": f"Bearer {cluster_key}",
            "x-headwater-node": node,
            "x-headwater-node-key": f"bench-key-of-{node}",
            "content-type": MEDIA_TYPE,
        }

    def push(self, chunks: Sequence[Chunk]) -> None:
        """Send a batch and wait until it is taken in; raises RuntimeError when it is not."""
        self._connection.request("POST", "/edge/batches", write_batch(chunks), self._headers)
        reply = self._connection.getresponse()
        text = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"the hub answered {reply.status}: {text[:200]!r}")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def push_all(port: int, cluster_key: str, log: Log, contents: Iterable[Packed]) -> int:
    """Send contents as one node's log, in batches; returns how many chunks."""
    door, batch = Door(port, cluster_key, log.node), []
    for content in contents:
        batch.append(log.next(content))
        if len(batch) == CHUNKS_A_BATCH:
            door.push(batch)
            batch = []
    if batch:
        door.push(batch)
    door.close()
    return log.seq


@dataclass
class Sender(threading.Thread):
    """One node that sends until the time is over."""

    port: int
    cluster_key: str
    log: Log
    contents: Sequence[Packed]
    until: float
    records: int = 0
    batch_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        door = Door(self.port, self.cluster_key, self.log.node)
        turns = self._turns()
        while (began := time.monotonic()) < self.until:
            door.push([self.log.next(next(turns)) for _ in range(CHUNKS_A_BATCH)])
            self.batch_seconds.append(time.monotonic() - began)
            self.records += CHUNKS_A_BATCH * RECORDS
        door.close()

    def _turns(self) -> Iterator[Packed]:
        while True:
            yield from self.contents


def main() -> None:
    """Send for so many seconds; the arguments are port, cluster key, seconds and nodes."""
    port, key, seconds, nodes = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    now_ns = time.time_ns()
    contents = [
        packed(Signal.LOGS, log_body(RECORDS, n * RECORDS, now_ns), RECORDS, now_ns, now_ns + 10**9)
        for n in range(BODIES)
    ]
    began = time.monotonic()
    epoch = f"{now_ns:x}"
    senders = [
        Sender(port, key, Log(f"ship-{n}", epoch), contents, began + seconds) for n in range(nodes)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    took = time.monotonic() - began
    delays = sorted(delay for sender in senders for delay in sender.batch_seconds)
    figures = {
        "records": sum(sender.records for sender in senders),
        "seconds": took,
        "batch_p50_ms": delays[len(delays) // 2] * 1000,
        "batch_p99_ms": delays[len(delays) * 99 // 100] * 1000,
    }
    sys.stdout.write(orjson.dumps(figures).decode() + "\n")


if __name__ == "__main__":
    main()
