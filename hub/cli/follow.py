"""`headwater logs --follow`: a live tail that moves to the next hub when one is lost."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import orjson

from hub.cli.ask import Asker
from hub.cli.client import Door
from hub.cli.event_stream import events
from hub.cli.find_hubs import all_hubs
from hub.cli.follow_output import RowPrinter, heading_of
from hub.cli.output import Column, say
from hub.cli.position_file import PositionFile
from hub.tail_position import Position
from shared.backoff import Backoff, backoff_seconds
from shared.errors import Refused, Unreachable

PATH = "/tail"
PAUSES = Backoff(seconds_initial=0.2, seconds_max=5.0)  # A person is waiting.
_NAMES = (
    *("nodes", "severity", "severity_max", "text", "words", "service", "services", "trace_id"),
    *("attributes", "backfilled"),
)
_UNSET: tuple[object, ...] = (None, (), [], {}, "")
_REFUSED = ("end", "order", "cursor")


def follow_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags --follow and --position to a search in logs or events."""
    for decorate in (
        click.option(
            "--position",
            "position_file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="With --follow: go on from where this file says, and keep it up to date.",
        ),
        click.option("--follow", "-f", is_flag=True, help="Show records as they come in."),
    ):
        command = decorate(command)
    return command


def follow_if_asked(asker: Asker, given: dict[str, Any], columns: Sequence[Column]) -> bool:
    """Follow until Ctrl-C when the flags ask for it, else only take the flags out of `given`, which
    are the parameters of log.query."""
    asked, file = given.pop("follow"), given.pop("position_file")
    if file and not asked:
        raise click.UsageError("--position has a meaning only with --follow")
    if asked:
        follow(asker, given, columns, file)
    return bool(asked)


def follow(
    asker: Asker, filters: Mapping[str, Any], columns: Sequence[Column], position_file: Path | None
) -> None:
    """Print rows as hubs take them in, until Ctrl-C. `start` of the filters lets the tail begin
    earlier. Raises SettingsError, Unreachable or Refused when it cannot begin, and BadInput for a
    wrong question or a file that holds no position."""
    file = PositionFile(position_file)
    follower = Follower(
        list(asker.doors), tail_params(filters), file.load(), RowPrinter(asker.form, columns), file
    )
    try:
        asyncio.run(follower.run(asker.data))
    except KeyboardInterrupt:
        follower.say_goodbye()
    finally:
        file.save(follower.position)


def tail_params(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request for a tail, without the position; raises click's usage error."""
    for name in _REFUSED:
        if filters.get(name):
            raise click.UsageError(f"--{name} has no meaning with --follow")
    params = {name: filters[name] for name in _NAMES if filters.get(name) not in _UNSET}
    if filters.get("start"):
        params["since"] = filters["start"]
    return {"signal": filters.get("signal", "logs"), **params}


@dataclass(slots=True)
class Follower:
    """Follows one tail over any number of connections."""

    doors: list[Door]
    params: Mapping[str, Any]
    position: Position
    printer: RowPrinter
    file: PositionFile
    say: Callable[[str], None] = say
    rng: random.Random = field(default_factory=random.Random)
    _attempt: int = 0
    _was_behind: bool = False

    async def run(self, data: Path) -> None:
        """Follow until cancelled. Raises when no hub answers at the start, or all refuse."""
        await self._learn_hubs(data)
        while True:
            door = self.doors[0]
            try:
                reason = await self._follow(door)
            except Unreachable as error:
                reason = str(error)
            except Refused as error:
                self._forget(door, error)
                continue
            await self._move_on(door, reason)

    async def _learn_hubs(self, data: Path) -> None:
        """Find the other hubs. A token found on disk goes only to the hub that wrote it."""
        self.doors = await all_hubs(self.doors, data, self.say)

    async def _follow(self, door: Door) -> str:
        """Take in what one hub tells; returns why it ended."""
        params = dict(self.params)
        if self.position.is_whole:
            params["position"] = self.position.to_wire()
            params.pop("since", None)
        async with aclosing(events(door, PATH, orjson.dumps(params))) as told:
            async for event, data in told:
                if event == "bye":
                    return str(data.get("reason", "it says goodbye"))
                self._attempt = 0
                self._take(event, data)
        return "it ended the stream"

    def _take(self, event: str, data: Mapping[str, Any]) -> None:
        if event == "rows":
            self.printer.show(data.get("rows", []))
        elif heading := heading_of(event, data):
            self.say(heading)
        self.position.fold(event, data)
        self.file.save_now_and_then(self.position)

    async def _move_on(self, door: Door, reason: str) -> None:
        self.doors = [*self.doors[1:], door]
        self.say(f"{door.name} is lost ({reason}); going on with {self.doors[0].name}")
        self._attempt += 1
        if self._attempt >= len(self.doors):  # Each was tried once without a pause.
            turn = self._attempt - len(self.doors)
            await asyncio.sleep(backoff_seconds(turn, PAUSES, self.rng))

    def _forget(self, door: Door, error: Refused) -> None:
        if len(self.doors) == 1:
            raise error
        self.doors.remove(door)
        self.say(str(error))

    def say_goodbye(self) -> None:
        """What was shown, and how to go on."""
        name = self.file.path or "FILE"
        hint = "goes on from here" if self.file.path else "lets a later call go on"
        self.say(f"{self.printer.rows:,} rows; --position {name} {hint}")
