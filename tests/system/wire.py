"""The wire between network namespaces: hands their packets on, as late and as seldom as it is told."""

import heapq
import itertools
import os
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

PACKET_BYTES_MAX = 65_536
IPV4, TCP = 4, 6
PROTOCOL = 9
FROM, TO = slice(12, 16), slice(16, 20)
"""Where an IPv4 packet names its ends (RFC 791)."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What one direction between two ends does to packets. Each delay is drawn from delay -+ jitter."""

    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    loss_ratio: float = 0.0
    spares_answers_from: int = 0
    """What a server at this port answers is not lost, as behind a firewall that lets only answers out."""

    def loses(self, packet: bytes, rng: Random) -> bool:
        """Whether this IPv4 packet vanishes."""
        if self.spares_answers_from and self.spares_answers_from == _source_port(packet):
            return False
        return rng.random() < self.loss_ratio


FAIR = Weather()
CUT = Weather(loss_ratio=1.0)


def _source_port(packet: bytes) -> int:
    """The port that a TCP packet comes from (RFC 9293); 0 for any other."""
    if packet[PROTOCOL] != TCP:
        return 0
    header_bytes = (packet[0] & 0xF) * 4
    return int.from_bytes(packet[header_bytes : header_bytes + 2])


@dataclass(slots=True)
class Wire:
    """Joins cards, by address, while it is entered. A dropped packet vanishes: nobody is told."""

    cards: Mapping[str, int]
    rng: Random = field(default_factory=lambda: Random(5))
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    _weather: dict[tuple[str, str], Weather] = field(default_factory=dict)
    _late: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def set(self, source: str, target: str, weather: Weather) -> None:
        """From now on packets from one end to another meet this weather."""
        self._weather[source, target] = weather

    def heal(self) -> None:
        """Fair weather everywhere."""
        self._weather.clear()

    def __enter__(self) -> "Wire":
        for card in self.cards.values():
            self._selector.register(card, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="wire")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._selector.close()

    def _run(self) -> None:
        while not self._over.is_set():
            due_seconds = self._late[0][0] - time.monotonic() if self._late else 1.0
            for key, _ in self._selector.select(min(max(due_seconds, 0.0), 0.1)):
                self._take_all(key.fd)
            self._deliver()

    def _take_all(self, card: int) -> None:
        try:
            while packet := os.read(card, PACKET_BYTES_MAX):
                self._take(packet)
        except BlockingIOError:
            return

    def _take(self, packet: bytes) -> None:
        if packet[0] >> 4 != IPV4:
            return
        ends = socket.inet_ntoa(packet[FROM]), socket.inet_ntoa(packet[TO])
        card = self.cards.get(ends[1])
        if card is None:
            return
        weather = self._weather.get(ends, FAIR)
        if weather.loses(packet, self.rng):
            self.dropped[ends] += 1
            return
        self.passed[ends] += 1
        spread = self.rng.uniform(-weather.jitter_seconds, weather.jitter_seconds)
        due = time.monotonic() + max(weather.delay_seconds + spread, 0.0)
        heapq.heappush(self._late, (due, next(self._order), card, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._late and self._late[0][0] <= now:
            _, _, card, packet = heapq.heappop(self._late)
            try:
                os.write(card, packet)
            except BlockingIOError:  # A full queue drops, as that of every network card.
                continue
