"""`python -m tests.soak.oracle`: a process of its own that sends numbered records and remembers answers.

It shares nothing with the hubs and edges but their ports, and nobody kills it. It ends when its standard
input does, after the requests that are under way, so that it never outlives the soak.
"""

import argparse
import contextlib
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.otlp import JSON_TYPE, PROTO_TYPE
from shared.otlp_make import resource_of, value_of
from tests.soak.journal import JournalWriter, record_id
from tests.system.oracle import SERVICE, log_request

RECORDS_MAX = 12
THINK_SECONDS_MAX = 0.05  # The soak is about deaths, not about load.
ABSENT_SECONDS = 0.05
ANSWER_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to send records: where to, in which words."""

    name: str
    path: str
    content_type: str
    body: Callable[[list[str]], bytes]


def logs_json(ids: list[str]) -> bytes:
    """Log records as OTLP/JSON, the id as the text."""
    return orjson.dumps(log_request(ids))


def logs_proto(ids: list[str]) -> bytes:
    """Log records as OTLP protobuf, the id as the text."""
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add(resource=resource_of({"service.name": SERVICE}))
    scope = held.scope_logs.add()
    for each in ids:
        scope.log_records.add(severity_number=9, body=value_of(each))
    return request.SerializeToString()


def traces_proto(ids: list[str]) -> bytes:
    """Spans as OTLP protobuf, the id as the name."""
    request = ExportTraceServiceRequest()
    held = request.resource_spans.add(resource=resource_of({"service.name": SERVICE}))
    scope = held.scope_spans.add()
    for number, each in enumerate(ids, 1):
        name = number.to_bytes(8)
        scope.spans.add(trace_id=name * 2, span_id=name, name=each, kind=1)
    return request.SerializeToString()


DIALECTS = (
    Dialect("json", "/v1/logs", JSON_TYPE, logs_json),
    Dialect("proto", "/v1/logs", PROTO_TYPE, logs_proto),
    Dialect("spans", "/v1/traces", PROTO_TYPE, traces_proto),
)


@dataclass(slots=True)
class Connection:
    """One keep-alive connection to one edge. No record is ever sent twice."""

    name: str
    url: str
    dialect: Dialect
    journal: JournalWriter
    rng: random.Random
    stopping: threading.Event
    next_number: int = 0

    def run(self) -> None:
        """Send until told to stop; what is under way is waited for."""
        with httpx.Client(timeout=ANSWER_SECONDS_MAX, trust_env=False) as client:
            while not self.stopping.is_set():
                is_acked = self.send(client)
                think_seconds = self.rng.uniform(0, THINK_SECONDS_MAX)
                self.stopping.wait(think_seconds if is_acked else ABSENT_SECONDS)

    def send(self, client: httpx.Client) -> bool:
        """One request; the journal has its answer before anybody else learns of it."""
        first, count = self.next_number, self.rng.randint(1, RECORDS_MAX)
        self.next_number += count
        body = self.dialect.body([record_id(self.name, first + each) for each in range(count)])
        self.journal.sent(first, count)
        headers = {"content-type": self.dialect.content_type}
        try:
            answer = client.post(f"{self.url}{self.dialect.path}", content=body, headers=headers)
        except httpx.ConnectError:
            self.journal.unheard(first, count)
            return False
        except httpx.TransportError:
            return False  # No answer: the journal holds what was sent, and no more.
        if answer.status_code == httpx.codes.OK:
            self.journal.acked(first, count)
            return True
        self.journal.refused(first, count, answer.status_code)
        return False


def run(folder: Path, edges: dict[str, str], seed: int, stopping: threading.Event) -> None:
    """Send over every dialect to every edge until `stopping` is set; a failed connection is raised."""
    pairs = [(edge, dialect) for edge in edges for dialect in DIALECTS]
    with contextlib.ExitStack() as closing, ThreadPoolExecutor(len(pairs)) as threads:
        done: list[Future[None]] = []
        for edge, dialect in pairs:
            name = f"{edge}-{dialect.name}"
            journal = closing.enter_context(contextlib.closing(JournalWriter(folder, name)))
            rng = random.Random(f"{seed} {name}")
            connection = Connection(name, edges[edge], dialect, journal, rng, stopping)
            done.append(threads.submit(connection.run))
        for each in done:
            each.result()


def _stop_with_input(stopping: threading.Event) -> None:
    sys.stdin.buffer.read()
    stopping.set()


def main() -> int:
    """Send until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.oracle")
    parser.add_argument("--folder", type=Path, required=True, help="where the journals go")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("edges", nargs="+", metavar="NAME=URL")
    asked = parser.parse_args()
    edges = dict(each.split("=", 1) for each in asked.edges)
    stopping = threading.Event()
    threading.Thread(target=_stop_with_input, args=(stopping,), daemon=True).start()
    run(asked.folder, edges, asked.seed, stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
