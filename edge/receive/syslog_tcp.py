"""Syslog over TCP (RFC 6587): nothing more is read from a sender until what it sent is on disk.

A connection is read straight from its socket. So what was not kept is still in the system's hands, a
sender that is faster than the disk is held up, and memory is bounded by a frame and a read each.
"""

import asyncio
import contextlib
import logging
import socket
import struct

from edge.receive.syslog_counters import Ending, SyslogCounters
from edge.receive.syslog_frames import BadFrame, Frames
from edge.receive.syslog_keep import Keeper, SyslogLimits
from edge.receive.syslog_part import Received, plain_address
from shared.records import KIB

log = logging.getLogger(__name__)

READ_BYTES = 64 * KIB
ACCEPTS_AT_ONCE_MAX = 64
ACCEPT_PAUSE_SECONDS = 1.0
"""When there are no file descriptors left, asking again at once would only burn the CPU."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def close_with_reset(connected: socket.socket) -> None:
    """End a connection so that the other side gets an error, not a good end."""
    with contextlib.suppress(OSError):  # It may have ended already, and then has no options.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connected.close()


class Conversation:
    """One connection: reads, keeps, reads on."""

    def __init__(
        self,
        peer_socket: socket.socket,
        peer: str,
        keeper: Keeper,
        counters: SyslogCounters,
        limits: SyslogLimits,
    ) -> None:
        self._socket = peer_socket
        self._peer = peer
        self._keeper = keeper
        self._counters = counters
        self._limits = limits
        self._frames = Frames(limits.frame_bytes_max)
        self._ending: Ending | None = None
        self._orderly = False

    async def run(self) -> None:
        """Receive and keep until the connection ends; `close` it then."""
        try:
            ending = await self._read_all()
            await self._keep_rest(ending)
            self._orderly = ending in ("closed", "idle", "stopping")
        except asyncio.CancelledError:
            self._ending = "stopping"
            self._count_left()
            raise

    def close(self) -> None:
        """Close the socket. A sender of what was not kept must not take it for a good end."""
        # It has no reason yet when it was cancelled before it could begin.
        self._counters.count_ended(self._ending or "stopping")
        if self._orderly:
            self._socket.close()
        else:
            close_with_reset(self._socket)

    def end(self, reason: Ending) -> None:
        """Read what the system has received by now, keep it, and end.

        Cancelling a read could lose what it has just got; the end of the stream cannot.
        """
        self._ending = reason
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError as error:
            log.debug("%s is gone already: %s", self._peer, error)

    async def _read_all(self) -> Ending:
        while data := await self._read():
            self._frames.feed(data)
            try:
                await self._keep_frames()
            except BadFrame as error:
                log.info("syslog from %s ends: %s", self._peer, error)
                self._ending = error.reason
                return error.reason
        self._ending = self._ending or "closed"
        return self._ending

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._limits.idle_seconds_max, self.end, "idle")
        try:
            return await loop.sock_recv(self._socket, READ_BYTES)
        except OSError as error:
            log.info("syslog from %s broke off: %s", self._peer, error.strerror or error)
            self._ending = "reset"
            return b""
        finally:
            timer.cancel()

    async def _keep_frames(self) -> None:
        while frames := self._frames.take(self._limits.batch_messages_max):
            received_ns = self._keeper.wall_ns()
            batch = [Received(frame, self._peer, received_ns) for frame in frames]
            await self._keeper.keep(batch, "tcp")

    async def _keep_rest(self, ending: Ending) -> None:
        """What came without an end: a last line that is whole for all we know, or the beginning of
        a message of which the rest will never come."""
        rest, known_cut = self._frames.rest()
        if not rest:
            return
        self._frames = Frames()  # From here on the keeper answers for it.
        cut = known_cut or ending != "closed"
        if cut:
            self._counters.count_cut(ending)
        await self._keeper.keep(
            [Received(rest, self._peer, self._keeper.wall_ns(), cut=cut)], "tcp"
        )

    def _count_left(self) -> None:
        """Nobody will read on: what was read and never offered to the keeper is lost."""
        left = 0
        with contextlib.suppress(BadFrame):
            while frames := self._frames.take(self._limits.batch_messages_max):
                left += len(frames)
        left += bool(self._frames.rest()[0])
        if left:
            self._counters.count_lost("tcp", "stopping", left)


class TcpDoor:
    """Takes connections from a listening socket; keep `run` running."""

    def __init__(
        self,
        keeper: Keeper,
        listener: socket.socket,
        counters: SyslogCounters,
        limits: SyslogLimits,
    ) -> None:
        self._keeper = keeper
        self._listener = listener
        self._counters = counters
        self._limits = limits
        self._open: set[Conversation] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        counters.connections.set_function(lambda: len(self._open))

    @property
    def port(self) -> int:
        """The port that the listener has."""
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Take what has arrived by now and nothing more; `run` ends once that is kept."""
        self._stopping.set()

    def close(self) -> None:
        """Give the address back."""
        self._listener.close()

    async def run(self) -> None:
        """Receive and keep until told to stop."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                loop.add_reader(self._listener, self._accept)
                await self._stopping.wait()
                self._accept()  # Who was let in by the system has perhaps sent and gone.
                self._stop_accepting()
                for conversation in self._open:
                    conversation.end("stopping")
        finally:
            self._stop_accepting()

    def _stop_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE_MAX):
            try:
                accepted, sender = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(error)
                return
            self._begin(accepted, plain_address(sender[0]))

    def _pause_accepting(self, error: OSError) -> None:
        log.warning("syslog over TCP takes no connections: %s", error.strerror or error)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.call_later(ACCEPT_PAUSE_SECONDS, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _begin(self, accepted: socket.socket, peer: str) -> None:
        if len(self._open) >= self._limits.connections_max:
            self._counters.count_ended("connections_max")
            close_with_reset(accepted)
            return
        accepted.setblocking(False)
        # Half-open connections of senders that lost their power would count for ever.
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        conversation = Conversation(accepted, peer, self._keeper, self._counters, self._limits)
        self._open.add(conversation)
        assert self._tasks is not None
        task = self._tasks.create_task(conversation.run())
        # Not in `run`: a task that is cancelled before its first step never gets there.
        task.add_done_callback(lambda _: self._end(conversation))

    def _end(self, conversation: Conversation) -> None:
        self._open.discard(conversation)
        conversation.close()
