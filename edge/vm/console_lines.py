"""How the bytes of a console become lines, and how much of a flood is passed over. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from edge.receive.lines import Cut, cut_lines
from edge.receive.log_wire import lines_part
from shared.errors import BadInput
from shared.otlp_make import key_values, resource_of, value_of
from shared.records import KIB, Encoding, Part, Signal
from shared.signals import SEVERITIES, Scalar

SCOPE = "headwater.vm.console"
PASSED_OVER = "headwater.console.passed_over_bytes"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where reading goes on: a byte of the console, counted from the first that was ever written,
    and how many pieces of the line that goes on there are out already."""

    offset: int = 0
    piece: int = 0


@dataclass(frozen=True, slots=True)
class ConsoleLimits:
    """How consoles are read along."""

    round_seconds: float = 1.0
    share_bytes: int = 64 * KIB  # Each round for each machine: some thousand lines a second.
    backlog_bytes_max: int = 1024 * KIB  # A boot's output is told whole; what is more is a flood.
    round_bytes_max: int = 512 * KIB  # Of all machines, well below a chunk of 1 MiB.
    lines_max: int = 2000  # Each round for each machine: empty frames cost more than their bytes.
    line_bytes_max: int = 8 * KIB  # Longer lines are dumps, not messages.
    partial_seconds_max: float = 5.0  # A prompt is never ended by a line end.


@dataclass(frozen=True, slots=True)
class Page:
    """Bytes of a console from an offset, and where the console ends by now."""

    offset: int
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look gave; `is_all` when nothing is left to be read."""

    place: Place
    part: Part | None
    is_all: bool

    @property
    def part_bytes(self) -> int:
        """How large the part is."""
        return len(self.part.body) if self.part else 0


def load_places(state: bytes | None) -> dict[str, Place]:
    """Saved places by the ids of machines; raises BadInput for what cannot be one."""
    if state is None:
        return {}
    try:
        return msgspec.json.decode(state, type=dict[str, Place])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadInput(f"the saved places in consoles cannot be read: {error}") from error


def dump_places(places: Mapping[str, Place]) -> bytes:
    """Places as they are saved."""
    return msgspec.json.encode(places)


def start_of_reading(place: Place, size: int, limits: ConsoleLimits) -> int:
    """From where to read a console of this size: a flood is passed over up to its newest bytes."""
    if size - place.offset > limits.backlog_bytes_max:
        return size - limits.share_bytes
    return place.offset


def take_lines(
    place: Place,
    page: Page,
    limits: ConsoleLimits,
    resource: Mapping[str, Scalar],
    now_ns: int,
    *,
    flush: bool,
) -> Taken:
    """The lines of a page, and the place after them; `flush` takes an unfinished one out too."""
    missing_bytes = max(0, page.offset - place.offset)
    piece = place.piece if page.offset == place.offset else 0
    cut = _bounded_cut(page.data, limits, piece, flush=flush)
    parts = []
    if missing_bytes:
        parts.append(_passed_over(missing_bytes, resource, now_ns))
    if cut.lines:
        parts.append(lines_part(cut, now_ns, resource_of(resource), SCOPE))
    end = page.offset + cut.used_bytes
    return Taken(Place(end, cut.piece), joined(parts), is_all=end >= page.size)


def joined(parts: Sequence[Part]) -> Part | None:
    """Several requests as one: the bytes of repeated fields may simply follow each other."""
    if not parts:
        return None
    return Part(
        Signal.LOGS,
        Encoding.PROTO,
        b"".join(part.body for part in parts),
        sum(part.records for part in parts),
        min(part.time_min_ns for part in parts),
        max(part.time_max_ns for part in parts),
    )


def _bounded_cut(data: bytes, limits: ConsoleLimits, piece: int, *, flush: bool) -> Cut:
    cut = cut_lines(data, limits.line_bytes_max, piece=piece, flush=flush)
    if len(cut.lines) <= limits.lines_max:
        return cut
    end = 0
    for _ in range(limits.lines_max):
        end = data.find(b"\n", end) + 1 or end
    return cut_lines(data[:end], limits.line_bytes_max, piece=piece)


def _passed_over(missing_bytes: int, resource: Mapping[str, Scalar], now_ns: int) -> Part:
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add(resource=resource_of(resource))
    scoped = held.scope_logs.add()
    scoped.scope.name = SCOPE
    text = f"{missing_bytes} bytes of this console were passed over: it wrote more than is told"
    scoped.log_records.append(
        LogRecord(
            time_unix_nano=now_ns,
            observed_time_unix_nano=now_ns,
            severity_number=SEVERITIES["warn"],  # type: ignore[arg-type]  # An open enum.
            severity_text="WARN",
            body=value_of(text),
            attributes=key_values({PASSED_OVER: missing_bytes}),
        )
    )
    return Part(Signal.LOGS, Encoding.PROTO, request.SerializeToString(), 1, now_ns, now_ns)
