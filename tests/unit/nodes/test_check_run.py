"""Checks against real servers on loopback: what they say of good ones, bad ones and hostile ones."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.nodes.check_rules import Check, Outcome, read_checks
from hub.nodes.check_run import Checker
from tests.ports import free_ports
from tests.unit.nodes.check_certs import EXPIRED, GOOD, GOOD_UNTIL_S
from tests.unit.nodes.check_servers import (
    Answer,
    dripping,
    endless,
    many_headers,
    no_http,
    saying,
    serving,
    silent,
    tls_of,
)

DAYS_LEFT = 10
WALL_NS = (GOOD_UNTIL_S - DAYS_LEFT * 86_400 - 3_600) * 1_000_000_000


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    trusted = ssl.create_default_context(cadata=f"{GOOD.partition('-----BEGIN PRIVATE')[0]}")
    trusted.load_verify_locations(cadata=EXPIRED.partition("-----BEGIN PRIVATE")[0])
    made = Checker(lambda: WALL_NS, trusted)
    yield made
    made.close()


def check(target: str, kind: str = "http", **more: Any) -> Check:
    """One check, from what a person would write."""
    (made,) = read_checks([{"name": "c", "kind": kind, "target": target, **more}])
    return made


async def ask(checker: Checker, answer: Answer, path: str = "/", **more: Any) -> Outcome:
    """Run an HTTP check against a server with this answer."""
    async with serving(answer) as port:
        return await checker.run(check(f"127.0.0.1:{port}{path}", **more), "127.0.0.1")


async def test_a_port_that_listens_is_good(checker: Checker) -> None:
    """A TCP check connects, says nothing, and tells how long it took."""
    async with serving(silent) as port:
        outcome = await checker.run(check(f"127.0.0.1:{port}", "tcp"), "127.0.0.1")
    assert (outcome.ok, outcome.message) == (True, "connected")
    assert outcome.took_seconds is not None


@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_a_port_where_nobody_listens_is_refused(checker: Checker, kind: str) -> None:
    """The message is in plain words."""
    (port,) = free_ports(1)
    outcome = await checker.run(check(f"127.0.0.1:{port}", kind), "127.0.0.1")
    assert (outcome.ok, outcome.message) == (False, "the connection was refused")


@pytest.mark.parametrize(
    ("status", "more", "ok"),
    [
        (200, {}, True),
        (399, {}, True),
        (404, {}, False),
        (503, {}, False),
        (404, {"status": [404, 410]}, True),
        (200, {"status": [204]}, False),
        (200, {"text": "hello"}, True),
        (200, {"text": "goodbye"}, False),
        (200, {"method": "HEAD"}, True),
    ],
)
async def test_status_and_text_decide(
    checker: Checker, status: int, more: dict[str, Any], ok: bool
) -> None:
    """All from 200 to 399 is good when nothing is said."""
    outcome = await ask(checker, saying(status), **more)
    assert (outcome.ok, outcome.status) == (ok, status)


async def test_a_redirect_is_not_followed(checker: Checker) -> None:
    """A target cannot send the hub to another one; its own status is the answer."""
    asked: list[bytes] = []

    async def elsewhere(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(head)
        await saying()(head, writer)

    async with serving(elsewhere) as other:
        to_other = saying(302, b"", f"location: http://127.0.0.1:{other}/secret\r\n")
        outcome = await ask(checker, to_other)
    assert (outcome.ok, outcome.status) == (True, 302)
    assert asked == []


@pytest.mark.parametrize("answer", [silent, dripping])
async def test_a_target_that_hangs_ends_at_the_limit(checker: Checker, answer: Answer) -> None:
    """The limit is for the whole run, so that a drip does not prolong it."""
    outcome = await ask(checker, answer, timeout_s=0.2)
    assert (outcome.ok, outcome.timed_out) == (False, True)
    assert outcome.message == "no answer within 0.2 s"


async def test_an_endless_answer_is_read_for_64_kib(checker: Checker) -> None:
    """What comes after that is nobody's business."""
    outcome = await ask(checker, endless, timeout_s=10, text="xxxx")
    assert outcome.ok
    late = saying(200, b"x" * 65_536 + b"needle")
    assert not (await ask(checker, late, text="needle")).ok
    early = saying(200, b"x" * 65_530 + b"needle")
    assert (await ask(checker, early, text="needle")).ok


@pytest.mark.parametrize("answer", [many_headers, no_http])
async def test_what_is_not_good_http_fails(checker: Checker, answer: Answer) -> None:
    """Neither endless headers nor another protocol do more than fail the check."""
    outcome = await ask(checker, answer)
    assert (outcome.ok, outcome.message) == (False, "the answer is not HTTP, or was cut off")


async def test_the_days_of_a_certificate_are_told(checker: Checker, tmp_path: Path) -> None:
    """And are too few when the check asks for more."""
    async with serving(saying(), tls_of(tmp_path, GOOD)) as port:
        good = await checker.run(check(f"localhost:{port}", "https"), "localhost")
        soon = check(f"localhost:{port}", "https", cert_days_min=30)
        assert (good.ok, good.cert_days) == (True, DAYS_LEFT)
        outcome = await checker.run(soon, "localhost")
    assert (outcome.ok, outcome.message) == (False, "the certificate ends in 10 days")


async def test_a_bad_certificate_fails_unless_nobody_asks(checker: Checker, tmp_path: Path) -> None:
    """`tls_verify` off is the person's own word; its days are not known then."""
    async with serving(saying(), tls_of(tmp_path, EXPIRED)) as port:
        outcome = await checker.run(check(f"127.0.0.1:{port}", "https"), "127.0.0.1")
        blind = check(f"127.0.0.1:{port}", "https", tls_verify=False)
        trusted = await checker.run(blind, "127.0.0.1")
    assert not outcome.ok
    assert outcome.message == "the certificate is not good: certificate has expired"
    assert (trusted.ok, trusted.cert_days) == (True, None)


async def test_a_name_that_nobody_knows_fails(checker: Checker) -> None:
    """RFC 6761: names under .invalid are never known."""
    outcome = await checker.run(check("nowhere.invalid:80"), "nowhere.invalid")
    assert (outcome.ok, outcome.message) == (False, "the name nowhere.invalid is not known")


async def test_a_secret_in_the_query_is_sent_and_told_to_nobody(
    checker: Checker, caplog: pytest.LogCaptureFixture
) -> None:
    """It reaches the target, and neither the log nor the message."""
    heads: list[bytes] = []

    async def listening(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await saying(500)(head, writer)

    with caplog.at_level(logging.DEBUG):
        outcome = await ask(checker, listening, "/health?token=s3cret")
    assert heads[0].startswith(b"GET /health?token=s3cret HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"accept-encoding: identity\r\n" in heads[0].lower()
    assert "s3cret" not in outcome.message + caplog.text
