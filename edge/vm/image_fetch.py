"""Fetches an image over HTTP, piece by piece, from the addresses that the node's settings allow."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from edge.vm.image_sources import Address, next_address
from shared.errors import Refused, RpcError

if TYPE_CHECKING:
    import httpx

REDIRECTS_MAX = 5
CONNECT_SECONDS_MAX = 10.0
SILENCE_SECONDS_MAX = 30.0
FETCH_SECONDS_MAX = 6 * 3600.0  # A slow line is welcome, one that never ends is not.
PIECE_BYTES = 1024 * 1024
LENGTH_DIGITS_MAX = 20

Take = Callable[[bytes], Awaitable[None]]
Expect = Callable[[int | None], Awaitable[None]]


async def fetch(address: Address, prefixes: Sequence[str], expect: Expect, take: Take) -> None:
    """Hand on the whole body: `expect` is told its size first, None when nobody says so.

    Raises RpcError unauthorized for a redirect that leads out, driver_error for an answer that is
    none or not whole, and whatever the two raise.
    """
    import httpx  # Imported late: most agents never fetch an image.

    timeout = httpx.Timeout(SILENCE_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
    try:
        # Nobody's environment decides where this goes or what it carries along.
        async with (
            asyncio.timeout(FETCH_SECONDS_MAX),
            httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False) as client,
        ):
            await _follow(client, address, prefixes, expect, take)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise RpcError("driver_error", f"{address.shown} cannot be fetched: {reason}") from error


async def _follow(
    client: "httpx.AsyncClient",
    address: Address,
    prefixes: Sequence[str],
    expect: Expect,
    take: Take,
) -> None:
    headers = {"accept-encoding": "identity", "accept": "*/*"}
    for _ in range(REDIRECTS_MAX + 1):
        async with client.stream("GET", address.text, headers=headers) as answer:
            if not answer.has_redirect_location:
                await _read(answer, address, expect, take)
                return
            address = _redirected(address, answer.headers["location"], prefixes)
    raise RpcError("driver_error", f"{address.shown} redirects more than {REDIRECTS_MAX} times")


def _redirected(address: Address, location: str, prefixes: Sequence[str]) -> Address:
    try:
        return next_address(address, location, prefixes)
    except Refused as error:
        message = f"{address.shown} redirects to where this node may not go: {error}"
        raise RpcError("unauthorized", message) from error


async def _read(answer: "httpx.Response", address: Address, expect: Expect, take: Take) -> None:
    if answer.status_code != 200:
        message = f"{address.shown} answers {answer.status_code}"
        raise RpcError("driver_error", message, {"status": answer.status_code})
    encoding = answer.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RpcError("driver_error", f"{address.shown} sends the image encoded as {encoding!r}")
    await expect(_length(answer.headers.get("content-length", "")))
    async for piece in answer.aiter_raw(PIECE_BYTES):
        await take(piece)


def _length(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= LENGTH_DIGITS_MAX
    return int(text) if is_number else None
