"""Running one active check: a TCP connection or one HTTP request, bounded in time and bytes.

Nothing of the environment counts (no proxies, no stored logins), redirects are not followed, and the
address with its query is written to no log.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from hub.nodes.check_rules import SCANNED_BYTES_MAX, Check, Outcome, judge_http
from shared import __version__

Result = TypeVar("Result")

ADDRESSES_MAX = 4
RESOLVING_MAX = 8
DAY_SECONDS = 86_400


class CheckFailed(Exception):
    """The target did not answer as it should; the text says how, without secrets."""


class Checker:
    """Runs checks from this process; `close` it at the end."""

    def __init__(self, wall_ns: Callable[[], int], trusted: ssl.SSLContext | None = None) -> None:
        self._wall_ns = wall_ns
        self._trusted = trusted
        self._blind: ssl.SSLContext | None = None
        # A name server that hangs must not hold the threads in which the hub writes to its disk.
        self._resolving = ThreadPoolExecutor(RESOLVING_MAX, "check-names")

    def close(self) -> None:
        """Let go of the threads; names that are still being looked up end by themselves."""
        self._resolving.shutdown(wait=False, cancel_futures=True)

    async def run(self, check: Check, host: str) -> Outcome:
        """Run a check against a host; how it went wrong is an answer, too, and no error."""
        limit = check.spec.timeout_s
        try:
            async with asyncio.timeout(limit):
                addresses = await self._resolve(host, check.target.port)
                return await _first(addresses, lambda each: self._try(check, host, each))
        except TimeoutError:
            return Outcome(False, f"no answer within {limit:g} s", timed_out=True)
        except CheckFailed as error:
            return Outcome(False, str(error))

    async def _resolve(self, host: str, port: int) -> list[str]:
        if _is_literal(host):
            return [host]
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._resolving, _addresses_of, host, port)
        except (OSError, UnicodeError) as error:
            raise CheckFailed(f"the name {host[:100]} is not known") from error
        return found[:ADDRESSES_MAX]

    async def _try(self, check: Check, host: str, address: str) -> Outcome:
        began_at = asyncio.get_running_loop().time()
        try:
            if check.spec.kind == "tcp":
                return await _connect(address, check.target.port, began_at)
            return await self._ask(check, host, address, began_at)
        except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise CheckFailed(said(error)) from error

    async def _ask(self, check: Check, host: str, address: str, began_at: float) -> Outcome:
        spec = check.spec
        context = await self._context(spec.tls_verify) if spec.kind == "https" else False
        transport = httpx.AsyncHTTPTransport(verify=context, retries=0, trust_env=False)
        async with transport:
            # Not through a client of httpx: it would write the whole address to the log.
            answer = await transport.handle_async_request(_request(check, host, address))
            try:
                body = await _beginning(answer)
                days = self._cert_days(answer)
            finally:
                await answer.aclose()
        took_seconds = asyncio.get_running_loop().time() - began_at
        return judge_http(spec, answer.status_code, body, took_seconds, days)

    async def _context(self, verifies: bool) -> ssl.SSLContext:
        if verifies:
            if self._trusted is None:  # Reading the system's roots takes milliseconds: once.
                self._trusted = await asyncio.to_thread(ssl.create_default_context)
            return self._trusted
        if self._blind is None:
            self._blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._blind.check_hostname = False
            self._blind.verify_mode = ssl.CERT_NONE
        return self._blind

    def _cert_days(self, answer: httpx.Response) -> int | None:
        """Whole days until the certificate ends; None without TLS, or where nobody verifies it."""
        stream = answer.extensions.get("network_stream")
        tls = stream.get_extra_info("ssl_object") if stream is not None else None
        ends = (tls.getpeercert() or {}).get("notAfter") if tls is not None else None
        if not isinstance(ends, str):
            return None
        left_seconds = ssl.cert_time_to_seconds(ends) - self._wall_ns() / 1e9
        return int(left_seconds // DAY_SECONDS)


async def _first(addresses: list[str], attempt: Callable[[str], Awaitable[Outcome]]) -> Outcome:
    """Try one address after the other until one answers; raises what the last one said."""
    for address in addresses[:-1]:
        try:
            return await attempt(address)
        except CheckFailed:
            continue  # The answer is that of the last address, and counts only if all fail.
    return await attempt(addresses[-1])


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _addresses_of(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


async def _connect(address: str, port: int, began_at: float) -> Outcome:
    _, writer = await asyncio.open_connection(address, port)
    took_seconds = asyncio.get_running_loop().time() - began_at
    writer.transport.abort()  # Nothing was said, so there is nothing to wait for.
    return Outcome(True, "connected", took_seconds)


def _request(check: Check, host: str, address: str) -> httpx.Request:
    literal = f"[{address}]" if ":" in address else address
    target, scheme = check.target, check.spec.kind
    headers = {
        "host": target.shown(host).partition("/")[0],
        "user-agent": f"headwater-check/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",  # What is packed could be huge when it is unpacked.
        "connection": "close",
    }
    return httpx.Request(
        check.spec.method,
        f"{scheme}://{literal}:{target.port}{target.path}",
        headers=headers,
        extensions={} if _is_literal(host) else {"sni_hostname": host},
    )


async def _beginning(answer: httpx.Response) -> bytes:
    """The first 64 KiB of an answer: what comes after them is not read."""
    body = bytearray()
    stream: Any = answer.stream
    async for part in stream:
        body += part[: SCANNED_BYTES_MAX - len(body)]
        if len(body) >= SCANNED_BYTES_MAX:
            break
    return bytes(body)


def said(error: BaseException) -> str:
    """What went wrong in words for people; the text of a library is told only when it is known."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not good: {_plain(cause.verify_message)}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {_plain(cause.reason or 'no reason')}"
    for kind, words in _WORDS:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return f"the connection failed ({type(causes[-1]).__name__})"


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionResetError, "the connection was reset"),
    (httpx.RemoteProtocolError, "the answer is not HTTP, or was cut off"),
    (httpx.ReadError, "the connection was lost before the answer"),
    (TimeoutError, "the system gave up connecting"),
    (OSError, "there is no way to it, or nobody listens"),
    (httpx.ConnectError, "there is no way to it, or nobody listens"),
)


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) and len(found) < 10:
        found.append(cause)
    return found


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:120]
