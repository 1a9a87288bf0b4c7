"""Lists on the command line that may be longer than a page: all of them, page after page."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from hub.cli.ask import Asker
from hub.cli.client import CALL_SECONDS_MAX, Caller, run
from hub.cli.follow_output import RowPrinter
from hub.cli.output import Column, finish, say, show_list
from hub.cli.query_pages import JsonPrinter, page_printer
from hub.rest_pages import Answer, Pages
from shared.errors import HeadwaterError

PAGE_ITEMS = 1000
_TOLD = ("total", "states", "partial", "missing_nodes", "missing_total")
"""What each page tells of the whole list."""


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """A list in pages; `limit` is how many items are wanted, None for all. `things` is what they are."""

    method: str
    params: Mapping[str, Any]
    columns: Sequence[Column]
    limit: int | None
    things: str


@dataclass(slots=True)
class _Shown:
    """What was printed: a list that is one page as any list, a longer one as it comes."""

    asker: Asker
    question: ListQuestion
    whole: Answer | None = None
    printer: RowPrinter | JsonPrinter | None = None
    last: Answer = field(default_factory=dict)

    def show(self, page: Answer) -> None:
        self.last = page
        limit = self.question.limit
        is_only_one = not page.get("cursor") or (limit is not None and limit <= PAGE_ITEMS)
        if self.printer is None and is_only_one:
            self.whole = page
            show_list(self.asker.form, page, page["items"], self.question.columns)
            return
        self.printer = self.printer or page_printer(self.asker.form, self.question.columns)
        self.printer.show(page["items"])

    def end(self, told: Mapping[str, Any]) -> None:
        if isinstance(self.printer, JsonPrinter):
            self.printer.end(told)


def show_whole_list(asker: Asker, question: ListQuestion) -> None:
    """Show what is asked for; exits 3 when it is partial, 4 when nothing matched."""
    shown = _Shown(asker, question)
    pages = run(asker.doors, say, lambda caller: _read(caller, shown, question))
    counted: dict[str, Any] = {key: shown.last[key] for key in _TOLD if key in shown.last}
    told: dict[str, Any] = {**pages.whole.to_wire(), "cursor": pages.cursor, **counted}
    shown.end(told)
    if pages.cursor:
        say(f"{pages.whole.items:,} of {counted.get('total', 0):,} {question.things} are shown")
    finish(shown.whole or told, pages.whole.items)


async def _read(caller: Caller, shown: _Shown, question: ListQuestion) -> Pages:
    """Print page after page; an error is told with the place to go on from."""

    async def call(method: str, asked: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await caller.call(method, asked, timeout_seconds=CALL_SECONDS_MAX)
        return found

    pages = Pages(
        call, question.method, _given(question.params), "items", PAGE_ITEMS, question.limit
    )
    try:
        async with aclosing(pages.read()) as read:
            async for page in read:
                shown.show(page)
    except HeadwaterError:
        if pages.whole.pages and pages.cursor:
            say(
                f"after {pages.whole.items:,} {shown.question.things} it went wrong: --after {pages.cursor}"
            )
        raise
    return pages


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a person said. That nodes shall not drain is said, too."""
    said = {name: value for name, value in params.items() if value not in (None, (), "")}
    return {name: value for name, value in said.items() if value or name == "draining"}
