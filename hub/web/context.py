"""What the pages need of the hub that serves them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

RpcCall = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Call a method of this hub; raises RpcError and nothing else."""


@dataclass(frozen=True, slots=True)
class WebContext:
    """The hub behind the pages. `check_login` gives the value of the session cookie, or None.

    `hubs` gives the id and URL of every hub, this one included. `changes` gives the names of what
    changes, for as long as it is read. `new_id` makes the ids of orders; they are never reused.
    """

    hub_id: str
    session_cookie: str
    check_login: Callable[[str], str | None]
    csrf_token: Callable[[Request], str]
    csrf_ok: Callable[[Request, str], bool]
    hubs: Callable[[], Sequence[tuple[str, str]]]
    stopping: asyncio.Event
    changes: Callable[[], AsyncIterator[str]]
    new_id: Callable[[], str]
