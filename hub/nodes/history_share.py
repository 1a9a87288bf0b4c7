"""How hubs come to hold each other's observations: each says how far it holds which log, and pulls.

Any hub that holds a log passes it on, so the observations of a hub that is down are not lost with it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from hub.nodes.history import Attendance, Change, observer_of
from shared.errors import BadInput

LINES_MAX = 1_000
LOGS_MAX = 256

LogName = Annotated[str, Meta(min_length=3, max_length=200, pattern=r"^[^@]+@[^@]+\Z")]
Reach = Annotated[int, Meta(ge=0, le=2**53)]
UnixMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How far a hub holds a log, and until when the observer is known to have observed."""

    log: LogName
    head: Reach
    attendance: Reach
    attended_ms: UnixMs


class HistorySection(msgspec.Struct, frozen=True):
    """What a hub says of the logs it holds, in its gossip."""

    logs: Annotated[list[Standing], Meta(max_length=LOGS_MAX)]


class PageWanted(msgspec.Struct, frozen=True):
    """A request for the lines of a log after a number."""

    log: LogName
    after: Reach
    limit: Annotated[int, Meta(ge=1, le=LINES_MAX)] = LINES_MAX


class HistoryPage(msgspec.Struct, frozen=True):
    """Lines of a log: all that are left between `after` and `through`."""

    log: LogName
    after: Reach
    through: Reach
    lines: Annotated[list[Change], Meta(max_length=LINES_MAX)]


def page_of(wanted: PageWanted, lines: Sequence[Change], head: int) -> HistoryPage:
    """The answer with the lines that were found; a page that is not full reaches the head."""
    is_full = len(lines) >= wanted.limit
    through = lines[-1].number if is_full else max(head, wanted.after)
    return HistoryPage(wanted.log, wanted.after, through, list(lines))


def read_page(body: bytes, wanted: PageWanted) -> HistoryPage:
    """Read an answer; raises BadInput when it is malformed or answers something else."""
    try:
        page = msgspec.json.decode(body, type=HistoryPage)
    except msgspec.MsgspecError as error:
        raise BadInput(f"a page of observations cannot be read: {error}") from error
    except RecursionError as error:
        raise BadInput("a page of observations is nested too deeply") from error
    last = page.lines[-1].number if page.lines else page.after
    if (page.log, page.after) != (wanted.log, wanted.after) or page.through < last:
        raise BadInput(f"a page answers something else than {wanted.log[:80]} {wanted.after}")
    return page


@dataclass(frozen=True, slots=True)
class Want:
    """Lines that a hub offers and that are not here yet."""

    hub: str
    page: PageWanted


def _nobody(log: str) -> None:
    """Nobody has anything of it."""


@dataclass(slots=True)
class HistoryShare:
    """How far all logs are held, here and at the peers. `log` is the one that this hub writes."""

    log: str
    held: dict[str, Standing] = field(default_factory=dict)
    kept_from_ms: int = 0
    """A log whose observer observed last before that (Unix ms) says nothing that counts: it is let
    go of, and not taken from a peer that keeps it longer."""
    on_let_go: Callable[[str], None] = _nobody
    """Told of each log that was let go of."""
    _offers: dict[str, dict[str, int]] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)
    refused: int = 0
    """Logs of peers for which there was no room."""

    def load(self, standings: Iterable[Standing]) -> None:
        """Take in what is on disk."""
        self.held = {standing.log: standing for standing in standings}

    def head(self, log: str) -> int:
        """Up to which number lines are on disk here; 0 for a log that is not."""
        held = self.held.get(log)
        return held.head if held else 0

    def hold(self, log: str, head: int) -> None:
        """Lines up to a number are on disk now."""
        old = self.held.get(log) or Standing(log, 0, 0, 0)
        self.held[log] = msgspec.structs.replace(old, head=max(head, old.head))

    def attend(self, log: str, attendance: int, until_ms: int) -> None:
        """The observer still observed at that time."""
        old = self.held.get(log) or Standing(log, 0, 0, 0)
        if (attendance, until_ms) > (old.attendance, old.attended_ms):
            new = Standing(log, old.head, attendance, until_ms)
            self.held[log] = new
            self._moved.add(log)

    def of_mine(self, *, whole: bool) -> HistorySection:
        """What to say to peers: this hub's own log each second, all logs now and then."""
        own = self.held.get(self.log) or Standing(self.log, 0, 0, 0)
        others = sorted(set(self.held) - {self.log}) if whole else []
        return HistorySection([own, *(self.held[log] for log in others[: LOGS_MAX - 1])])

    def take(self, section: HistorySection, from_hub: str) -> None:
        """A peer says how far it holds which logs."""
        for standing in section.logs:
            if standing.log == self.log:
                continue  # Nobody knows better than this hub what this hub observed.
            if self._is_old(standing):
                continue
            if not self._has_room(standing.log):
                self.refused += 1
                continue
            self.attend(standing.log, standing.attendance, standing.attended_ms)
            self._offers.setdefault(standing.log, {})[from_hub] = standing.head

    def _is_old(self, told: Standing) -> bool:
        held = self.held.get(told.log, told)
        return max(told.attended_ms, held.attended_ms) < self.kept_from_ms

    def _has_room(self, log: str) -> bool:
        is_known = log in self.held or log in self._offers
        return is_known or max(len(self.held), len(self._offers)) < LOGS_MAX

    def wanted(self, live_hubs: Iterable[str]) -> list[Want]:
        """The next page of each log that a live hub holds further, of the one that holds it furthest."""
        live = set(live_hubs)
        found = []
        for log in sorted(self._offers):
            offers = {hub: head for hub, head in self._offers[log].items() if hub in live}
            after = self.head(log)
            hub = max(sorted(offers), key=lambda each: offers[each], default=None)
            if hub is not None and offers[hub] > after:
                found.append(Want(hub, PageWanted(log, after)))
        return found

    def take_moved(self) -> list[Standing]:
        """Attendances to be written to the disk, each minute."""
        moved, self._moved = self._moved, set()
        return [self.held[log] for log in sorted(moved) if log in self.held]

    def put_back(self, moved: Iterable[Standing]) -> None:
        """Take back those that the disk did not take."""
        self._moved.update(standing.log for standing in moved)

    def withdraw(self, want: Want) -> None:
        """Count no more on an offer that brought nothing, until the hub repeats it."""
        self._offers.get(want.page.log, {}).pop(want.hub, None)

    def forget(self, hub: str) -> None:
        """Drop the offers of a hub that is a peer no more."""
        for offers in self._offers.values():
            offers.pop(hub, None)
        self._offers = {log: offers for log, offers in self._offers.items() if offers}

    def spent(self) -> list[str]:
        """The logs that say nothing that counts any more; never the one that this hub writes."""
        return [log for log in self.held if self.is_spent(log)]

    def is_spent(self, log: str) -> bool:
        """Whether that is so of a log: its hub may have come back meanwhile."""
        held = self.held.get(log)
        return held is not None and log != self.log and held.attended_ms < self.kept_from_ms

    def let_go(self, log: str) -> None:
        """Nothing of a log is on disk any more; should its hub come back, all of it is pulled anew."""
        self.held.pop(log, None)
        self._offers.pop(log, None)
        self.on_let_go(log)

    def speaking(self, hubs: Iterable[str]) -> list[str]:
        """The log of each of these hubs that it writes now: the one that it attended last."""
        newest: dict[str, Standing] = {}
        for standing in self.held.values():
            hub = observer_of(standing.log)
            if hub not in newest or standing.attended_ms > newest[hub].attended_ms:
                newest[hub] = standing
        return [newest[hub].log for hub in hubs if hub in newest]


def with_standings(
    stored: Mapping[str, Sequence[Attendance]], standings: Mapping[str, Standing], now_ms: int
) -> dict[str, list[Attendance]]:
    """Attendances from disk, the newest one of each log as far as it is known in memory.

    None of them reaches beyond `now_ms`: nobody has observed what is still to come.
    """
    return {log: _known(each, standings.get(log), now_ms) for log, each in stored.items()}


def _known(
    stored: Sequence[Attendance], standing: Standing | None, now_ms: int
) -> list[Attendance]:
    until = {standing.attendance: standing.attended_ms} if standing else {}
    return [
        each._replace(until_ms=min(max(each.until_ms, until.get(each.number, 0)), now_ms))
        for each in stored
    ]
