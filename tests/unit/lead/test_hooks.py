"""Hooks: in order, in time, tried again, told what they need; with real commands and a real server."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hub.lead.hook_runs import OUTPUT_BYTES_MAX, HookFailed, command_hook, web_hook
from hub.lead.hooks import HOOK_FAILED, Hook, HookCall, HookKind, HookPolicy, Hooks
from hub.lead.model import Tell
from shared.backoff import Backoff
from shared.errors import Unavailable, Unreachable
from shared.http import HttpxClient

START, STOP = HookKind.START, HookKind.STOP
QUICK = HookPolicy(3, Backoff(0.001, 0.001))


def call_of(kind: HookKind, term: int) -> HookCall:
    return HookCall(kind, "hub-1", term, term, "hub-1", "quorum", "elected; rm -rf $HOME")


def python(code: str, *arguments: object) -> list[str]:
    """A command line that runs some Python."""
    return [sys.executable, "-S", "-c", code, *map(str, arguments)]


@asynccontextmanager
async def running(
    *hooks: Hook, policy: HookPolicy = QUICK
) -> AsyncIterator[tuple[Hooks, list[Tell]]]:
    """Hooks that run, and what they tell."""
    told: list[Tell] = []
    runner = Hooks(hooks, told.append, Random(1), policy)
    task = asyncio.create_task(runner.run())
    try:
        yield runner, told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Slow:
    """A hook whose end is decided by the test."""

    def __init__(self, failures: int = 0) -> None:
        self.story: list[str] = []
        self.may_end = asyncio.Event()
        self.began = asyncio.Event()
        self.failures = failures

    async def __call__(self, call: HookCall) -> None:
        self.story.append(f"{call.kind} {call.term}")
        self.began.set()
        await self.may_end.wait()
        if self.failures:
            self.failures -= 1
            raise HookFailed("not now")
        self.story.append(f"{call.kind} {call.term} ended")


async def test_a_start_waits_until_the_stop_has_ended() -> None:
    slow = Slow()
    async with running(slow) as (hooks, _):
        hooks.put(call_of(STOP, 1))
        await slow.began.wait()
        hooks.put(call_of(START, 2))
        for _ in range(20):
            await asyncio.sleep(0)
        assert slow.story == ["stop 1"]
        slow.may_end.set()
        await hooks.drained()
    assert slow.story == ["stop 1", "stop 1 ended", "start 2", "start 2 ended"]


async def test_only_the_newest_of_each_kind_waits() -> None:
    """A thousand changes during one slow hook leave one stop and one start."""
    slow = Slow()
    async with running(slow) as (hooks, _):
        hooks.put(call_of(START, 1))
        await slow.began.wait()
        for term in range(1, 1000):
            hooks.put(call_of(STOP, term))
            hooks.put(call_of(START, term + 1))
        slow.may_end.set()
        await hooks.drained()
    assert slow.story[2:] == ["stop 999", "stop 999 ended", "start 1000", "start 1000 ended"]


async def test_a_start_that_has_not_begun_is_overtaken_by_a_stop() -> None:
    slow = Slow()
    slow.may_end.set()
    async with running(slow) as (hooks, _):
        hooks.put(call_of(START, 1))
        hooks.put(call_of(STOP, 1))
        await hooks.drained()
    assert slow.story == ["stop 1", "stop 1 ended"]


async def test_a_hook_that_fails_is_tried_again() -> None:
    slow = Slow(failures=2)
    slow.may_end.set()
    async with running(slow) as (hooks, told):
        hooks.put(call_of(START, 1))
        await hooks.drained()
    assert slow.story == ["start 1"] * 3 + ["start 1 ended"]
    assert told == []


async def test_a_stop_that_cannot_succeed_is_told_and_lets_the_start_go() -> None:
    slow = Slow(failures=3)
    slow.may_end.set()
    async with running(slow) as (hooks, told):
        hooks.put(call_of(STOP, 1))
        hooks.put(call_of(START, 2))
        await hooks.drained()
    assert slow.story == ["stop 1"] * 3 + ["start 2", "start 2 ended"]
    assert [(each.name, each.facts["attempts"], each.facts["error"]) for each in told] == [
        (HOOK_FAILED, 3, "not now")
    ]


async def test_a_start_that_waits_to_be_tried_again_gives_way_to_a_stop() -> None:
    slow = Slow(failures=1)
    slow.may_end.set()
    async with running(slow, policy=HookPolicy(3, Backoff(3600.0, 3600.0))) as (hooks, told):
        hooks.put(call_of(START, 1))
        await slow.began.wait()
        hooks.put(call_of(STOP, 1))
        await hooks.drained()
    assert slow.story == ["start 1", "stop 1", "stop 1 ended"]
    assert [each.facts["attempts"] for each in told] == [1]


# ---- commands


async def test_a_command_is_given_the_fence_and_sees_no_shell(tmp_path: Path) -> None:
    file = tmp_path / "seen.json"
    code = "import json,os,sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    await command_hook(python(code, file), 30.0)(call_of(START, 7))
    seen = json.loads(file.read_text())
    assert (seen["HEADWATER_LEAD_FENCE"], seen["HEADWATER_LEAD_TERM"]) == ("7", "7")
    assert seen["HEADWATER_LEAD_KIND"] == "start"
    assert seen["HEADWATER_LEAD_REASON"] == "elected; rm -rf $HOME"
    assert seen["PATH"] == os.environ["PATH"]


async def test_a_command_that_fails_says_why() -> None:
    failing = command_hook(python("print('no address'); raise SystemExit(3)"), 30.0)
    with pytest.raises(HookFailed, match="ended with status 3: no address"):
        await failing(call_of(START, 1))


async def test_a_command_that_fails_without_a_word_is_told_so() -> None:
    with pytest.raises(HookFailed, match=r"ended with status 3 and said nothing$"):
        await command_hook(python("raise SystemExit(3)"), 30.0)(call_of(START, 1))


async def test_a_command_that_does_not_exist_is_a_failure() -> None:
    with pytest.raises(HookFailed, match="cannot be run"):
        await command_hook(["/nowhere/at/all"], 30.0)(call_of(START, 1))


async def test_endless_output_is_read_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await command_hook(python("print('x' * 5_000_000)"), 30.0)(call_of(START, 1))
    (said,) = [record.getMessage() for record in caplog.records if "said" in record.getMessage()]
    assert OUTPUT_BYTES_MAX <= len(said) < OUTPUT_BYTES_MAX + 100


async def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """The child holds a FIFO open: its end can be waited for without a guess."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    code = "import os,sys,time; os.open(sys.argv[1], os.O_WRONLY); os.fork(); time.sleep(3600)"
    with pytest.raises(HookFailed, match=r"did not end in 1 s"):
        await command_hook(python(code, fifo), 1.0)(call_of(STOP, 1))
    os.set_blocking(held, True)
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(os.read, held, 1) == b""
    os.close(held)


# ---- webhooks


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(server.statuses.pop(0))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class _Server(HTTPServer):
    bodies: list[dict[str, Any]]
    statuses: list[int]


@pytest.fixture
def server() -> Iterator[_Server]:
    """A web server that answers with the statuses it is given."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.bodies, server.statuses = [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_webhook_is_given_the_fence_and_tried_again(server: _Server) -> None:
    server.statuses = [503, 204]
    client = HttpxClient()
    hook = web_hook(client, f"http://127.0.0.1:{server.server_port}/lead", 30.0)
    async with running(hook) as (hooks, told):
        hooks.put(call_of(START, 9))
        await hooks.drained()
    await client.close()
    assert [(body["kind"], body["fence"]) for body in server.bodies] == [("start", 9)] * 2
    assert told == []


async def test_a_webhook_that_refuses_or_is_away_is_a_failure(server: _Server) -> None:
    server.statuses = [302]
    client = HttpxClient()
    with pytest.raises(Unavailable, match="status 302"):
        await web_hook(client, f"http://127.0.0.1:{server.server_port}/", 30.0)(call_of(STOP, 1))
    with pytest.raises(Unreachable):
        await web_hook(client, "http://127.0.0.1:0/", 30.0)(call_of(STOP, 1))
    await client.close()


async def test_what_a_start_began_is_noted_before_it_and_let_go_after_its_stop() -> None:
    """A hub that crashes between the two knows afterwards what to stop; so does one whose stop failed."""
    story: list[str] = []
    fails = True

    async def hook(call: HookCall) -> None:
        story.append(f"{call.kind} {call.fence}")
        if call.kind is STOP and fails:
            raise HookFailed("not now")

    async def note(fence: int | None) -> None:
        story.append(f"noted {fence}")
        raise Unavailable("the disk is full")  # That ends no leadership.

    runner = Hooks([hook], lambda told: None, Random(1), QUICK, note)
    task = asyncio.create_task(runner.run())
    for call in (call_of(START, 4), call_of(STOP, 4)):
        runner.put(call)
        await runner.drained()
    assert story == ["noted 4", "start 4", *["stop 4"] * 3]
    fails = False
    runner.put(call_of(STOP, 4))
    await runner.drained()
    assert story[-2:] == ["stop 4", "noted None"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
