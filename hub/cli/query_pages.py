"""Answers in pages: one page shown as it is, or all pages along the cursors, each as it comes."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import click
import orjson

from hub.cli.ask import Asker
from hub.cli.client import CALL_SECONDS_MAX, Caller, run
from hub.cli.follow_output import RowPrinter
from hub.cli.output import Column, Format, say, show_list
from hub.cli.query_coverage import tell_and_finish
from hub.rest_pages import Pages
from shared.errors import HeadwaterError


@dataclass(frozen=True, slots=True)
class PagedQuestion:
    """A question whose answer comes in pages. `limit` is how many items are wanted, None for all."""

    method: str
    params: Mapping[str, Any]
    columns: Sequence[Column]
    page_items_max: int
    limit: int | None


def take_page_flags(given: dict[str, Any]) -> int | None:
    """Take --limit and --all out of the flags: how many items are wanted, None for all.

    Raises click's usage error when both are given.
    """
    limit: int = given.pop("limit")
    if not given.pop("wants_all"):
        return limit
    source = click.get_current_context().get_parameter_source("limit")
    if source is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--all and --limit contradict each other")
    return None


def show_pages(asker: Asker, question: PagedQuestion) -> None:
    """Show what was asked for; exits 3 when it is partial and 4 when nothing matched."""
    limit = question.limit
    if limit is not None and limit <= question.page_items_max:
        answer = asker.ask(question.method, {**question.params, "limit": limit})
        show_list(asker.form, answer, answer["items"], question.columns)
        tell_and_finish(answer, len(answer["items"]))
        return
    pages = _show_all(asker, question)
    tell_and_finish({**pages.whole.to_wire(), "cursor": pages.cursor}, pages.whole.items)


def _show_all(asker: Asker, question: PagedQuestion) -> Pages:
    """Print page after page; only one is held. An error is told with the place to go on from."""
    printer = page_printer(asker.form, question.columns)

    async def work(caller: Caller) -> Pages:
        async def call(method: str, params: dict[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = await caller.call(
                method, params, timeout_seconds=CALL_SECONDS_MAX
            )
            return answer

        pages = Pages(
            call,
            question.method,
            _given(question.params),
            "items",
            question.page_items_max,
            question.limit,
        )
        try:
            async with aclosing(pages.read()) as read:
                async for page in read:
                    printer.show(page["items"])
        except HeadwaterError:
            if pages.whole.pages and pages.cursor:
                say(f"after {pages.whole.items:,} items it went wrong: --cursor {pages.cursor}")
            raise
        return pages

    pages = run(asker.doors, say, work)
    if isinstance(printer, JsonPrinter):
        printer.end({**pages.whole.to_wire(), "cursor": pages.cursor})
    return pages


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if value not in (None, (), [], {}, "")}


class JsonPrinter:
    """Prints one JSON object whose `items` come bit by bit. It ends only when all went well."""

    def __init__(self) -> None:
        self.rows = 0

    def show(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print rows at once."""
        words = [orjson.dumps(row) for row in rows]
        if words:
            click.echo((b",\n" if self.rows else b'{"items": [\n') + b",\n".join(words), nl=False)
        self.rows += len(words)

    def end(self, told: Mapping[str, Any]) -> None:
        """Print what is told beside the rows."""
        begin = b"" if self.rows else b'{"items": ['
        rest = {key: value for key, value in told.items() if key != "items"}
        click.echo(begin + b"\n], " + orjson.dumps(rest)[1:])


def page_printer(form: Format, columns: Sequence[Column]) -> RowPrinter | JsonPrinter:
    """What prints pages in a form."""
    return JsonPrinter() if form == "json" else RowPrinter(form, columns)
