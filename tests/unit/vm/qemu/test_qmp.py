"""The session with a QEMU: every call ends, whatever the other end does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.vm.qemu.qmp import Gone, Qmp, connect
from shared.errors import RpcError

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}


class FakeQemu:
    """Answers what a test says; "hang up" does so, and nothing is silence."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {"qmp_capabilities": {"return": {}}}
        self.writer: asyncio.StreamWriter | None = None
        self.greets = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        if self.greets:
            self.tell(GREETING)
        text = ""
        while data := await reader.read(4096):
            text += data.decode()
            while text:  # Messages follow each other with nothing between; here they come whole.
                asked, size = json.JSONDecoder().raw_decode(text)
                text = text[size:]
                self.answer(asked)
        writer.close()

    def answer(self, asked: dict[str, object]) -> None:
        assert self.writer is not None
        answer = self.answers.get(str(asked["execute"]))
        if answer == "hang up":
            self.writer.close()
        if isinstance(answer, dict):
            self.tell({**answer, "id": asked["id"]} if "id" in asked else answer)

    def tell(self, message: object) -> None:
        assert self.writer is not None
        self.writer.write(json.dumps(message).encode() + b"\n")


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[FakeQemu]:
    fake = FakeQemu()
    server = await asyncio.start_unix_server(fake.serve, folder / "qmp.sock")
    async with server:
        yield fake
        if fake.writer is not None:
            fake.writer.close()


@asynccontextmanager
async def session(folder: Path) -> AsyncIterator[tuple[FakeQemu, Qmp]]:
    async with serving(folder) as fake:
        qmp = await connect(folder, "qmp.sock")
        try:
            yield fake, qmp
        finally:
            await qmp.close()


async def test_a_socket_that_nobody_serves_is_gone(folder: Path) -> None:
    """No folder, no socket, and one that was left behind by a killed process."""
    for place in (folder / "none", folder):
        with pytest.raises(Gone):
            await connect(place, "qmp.sock")
    async with serving(folder):
        pass
    with pytest.raises(Gone):
        await connect(folder, "qmp.sock")


async def test_a_server_that_does_not_greet_is_gone_after_the_time_for_it(folder: Path) -> None:
    """QEMU serves one client; the second hears nothing until the first has left."""
    async with serving(folder) as fake:
        fake.greets = False
        with pytest.raises(Gone, match="no greeting"):
            await connect(folder, "qmp.sock", seconds=0.05)


async def test_an_answer_is_returned_and_a_refusal_keeps_the_words_of_qemu(folder: Path) -> None:
    async with session(folder) as (fake, qmp):
        fake.answers["query-status"] = {"return": {"status": "running"}}
        assert await qmp.execute("query-status") == {"status": "running"}
        fake.answers["cont"] = {"error": {"class": "GenericError", "desc": "it is broken"}}
        with pytest.raises(RpcError, match="it is broken") as refusal:
            await qmp.execute("cont")
        assert refusal.value.kind == "driver_error"
        assert not isinstance(refusal.value, Gone)


async def test_a_silent_command_ends_and_the_next_one_works(folder: Path) -> None:
    async with session(folder) as (fake, qmp):
        with pytest.raises(RpcError, match=r"within 0\.05 s"):
            await qmp.execute("stop", seconds=0.05)
        fake.answers["stop"] = {"return": {}}
        assert await qmp.execute("stop") == {}


async def test_events_come_in_order_and_end_with_the_session(folder: Path) -> None:
    async with session(folder) as (fake, qmp):
        for name in ("RESET", "SHUTDOWN"):
            fake.tell({"event": name, "data": {"guest": True}, "timestamp": {}})
        fake.answers["quit"] = "hang up"
        with pytest.raises(Gone):
            await qmp.execute("quit")
        async with asyncio.timeout(60):
            seen = [event async for event in qmp.events()]
        assert seen == [("RESET", {"guest": True}), ("SHUTDOWN", {"guest": True})]
        assert not qmp.is_open
        with pytest.raises(Gone):
            await qmp.execute("query-status")


async def test_garbage_ends_the_session_and_nothing_else(folder: Path) -> None:
    async with session(folder) as (fake, qmp):
        assert fake.writer is not None
        fake.writer.write(b"\xff\x00 no json at all\n")
        with pytest.raises(RpcError):
            await qmp.execute("query-status", seconds=5.0)
