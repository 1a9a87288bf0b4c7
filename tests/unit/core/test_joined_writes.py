"""What is written in one turn of the event loop goes out at once, whole and in order."""

import asyncio
from typing import Any

from shared.joined_writes import HELD_BYTES_MAX, JoinedWrites


class Recorder(asyncio.Transport):
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Any] = []
        self.closing = False

    def write(self, data: Any) -> None:
        self.said.append(bytes(data))

    def close(self) -> None:
        self.said.append("close")
        self.closing = True

    def abort(self) -> None:
        self.said.append("abort")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0


def test_the_writes_of_one_turn_are_one_write() -> None:
    async def main() -> list[Any]:
        below = Recorder()
        joined = JoinedWrites(below)
        joined.write(b"head ")
        joined.writelines([b"body", b" and more"])
        assert (below.said, joined.get_write_buffer_size()) == ([], 18)
        await asyncio.sleep(0)
        assert joined.get_write_buffer_size() == 0
        joined.write(b"next")
        await asyncio.sleep(0)
        return below.said

    assert asyncio.run(main()) == [b"head body and more", b"next"]


def test_a_close_sends_what_is_held_before_it_and_an_abort_does_not() -> None:
    async def main(how: str) -> list[Any]:
        below = Recorder()
        joined = JoinedWrites(below)
        joined.write(b"bye")
        getattr(joined, how)()
        await asyncio.sleep(0)
        return below.said

    assert asyncio.run(main("close")) == [b"bye", "close"]
    assert asyncio.run(main("abort")) == ["abort"]


def test_an_answer_without_end_is_sent_on_before_its_writer_ever_waits() -> None:
    async def main() -> list[Any]:
        below = Recorder()
        joined = JoinedWrites(below)
        for _ in range(3):
            joined.write(bytes(HELD_BYTES_MAX // 2))
        return list(below.said)

    assert [len(piece) for piece in asyncio.run(main())] == [HELD_BYTES_MAX]


def test_nothing_is_written_to_a_connection_that_went_meanwhile() -> None:
    async def main() -> list[Any]:
        below = Recorder()
        JoinedWrites(below).write(b"too late")
        below.closing = True
        await asyncio.sleep(0)
        return below.said

    assert asyncio.run(main()) == []
