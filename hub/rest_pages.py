"""Answers of any length, page after page along the cursors; only one page is held at a time."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.rest_fold import Whole
from shared.errors import RpcError

ITEMS_MAX = 10_000_000

Answer = dict[str, Any]
Call = Callable[[str, dict[str, Any]], Awaitable[Answer]]


@dataclass(slots=True)
class Pages:
    """Reads the pages of one question.

    `items_max` is how many items are wanted in all, None for every one. Without `page_items_max` the
    answer is one page, as long as `params` say. `cursor` says where to go on
    after the pages that were read, None when they were the last; after an error it still does.
    """

    call: Call
    method: str
    params: Mapping[str, Any]
    rows: str
    page_items_max: int | None
    items_max: int | None = None
    whole: Whole = field(default_factory=Whole)
    cursor: str | None = None

    def __post_init__(self) -> None:
        self.cursor = self.params.get("cursor")

    async def read(self) -> AsyncGenerator[Answer, None]:
        """The pages, until the last one or `items_max`; raises RpcError."""
        while True:
            answer = await self._ask()
            following = answer.get("cursor")
            self.whole.add(answer, len(answer[self.rows]))
            stands_still = following is not None and following == self.cursor
            self.cursor = following
            yield answer
            if following is None or self._has_enough():
                return
            if stands_still:
                raise RpcError("internal", f"{self.method} does not get on: its cursor is the same")

    async def _ask(self) -> Answer:
        params = dict(self.params)
        if self.page_items_max is not None:
            params["limit"] = self._limit(self.page_items_max)
        if self.cursor is not None:
            params["cursor"] = self.cursor
        return await self.call(self.method, params)

    def _has_enough(self) -> bool:
        """Whether as many are read as are wanted, or more: some pages end with all of a node."""
        return self.items_max is not None and self.whole.items >= self.items_max

    def _limit(self, page_items_max: int) -> int:
        if self.items_max is None:
            return page_items_max
        return min(page_items_max, self.items_max - self.whole.items)


def read_items_max(limit: object) -> int | None:
    """How many items a stream may have, None for all; raises RpcError invalid_params."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= ITEMS_MAX:
        reason = f"limit: of a stream it is a whole number from 1 to {ITEMS_MAX}"
        raise RpcError("invalid_params", reason, {"parameter": "limit"})
    return limit
