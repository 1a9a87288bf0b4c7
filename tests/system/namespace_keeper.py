"""Runs inside a network namespace and keeps it: `python namespace_keeper.py ADDRESS HOST PORT DOOR WIRE`.

DOOR and WIRE are numbers of inherited sockets. DOOR listens outside of the namespace: whoever connects
to it speaks with HOST:PORT inside. WIRE gets the other end of the network card; the namespace lasts
until whoever holds its other side closes it.

Uses the standard library only, and no program: a bare Debian has neither `ip` nor `tc`.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import sys

CARD = b"wire0"
LOOPBACK = b"lo"
NETWORK_MASK = "255.255.255.0"
PIECE_BYTES = 65_536

# From linux/if_tun.h, linux/sockios.h and linux/if.h.
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP, IFF_RUNNING = 0x1, 0x40


def make_card(address: str) -> int:
    """Give the namespace a network card with this address; returns the end where its packets come out."""
    card = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(card, TUNSETIFF, struct.pack("16sH22x", CARD, IFF_TUN | IFF_NO_PI))
    _set(CARD, SIOCSIFADDR, _written(address))
    _set(CARD, SIOCSIFNETMASK, _written(NETWORK_MASK))
    for name in (LOOPBACK, CARD):
        _set(name, SIOCSIFFLAGS, struct.pack("H", IFF_UP | IFF_RUNNING))
    return card


def _set(card: bytes, what: int, value: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, what, struct.pack("16s24s", card, value))


def _written(address: str) -> bytes:
    return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(address))


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes, until one side has enough."""
    with contextlib.suppress(OSError):
        while piece := await source.read(PIECE_BYTES):
            sink.write(piece)
            await sink.drain()
    sink.close()


async def keep(door: socket.socket, wire: socket.socket, host: str, port: int) -> None:
    """Serve the door until the wire is closed."""

    async def enter(caller: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:  # Nobody listens inside: for the caller it is the same.
            answer.close()
            return
        await asyncio.gather(pump(caller, writer), pump(reader, answer))

    async with await asyncio.start_server(enter, sock=door):
        closed, _ = await asyncio.open_connection(sock=wire)
        await closed.read()


def main() -> None:
    """Make the card, hand its packets over, and keep the namespace."""
    address, host, port, door, wire = sys.argv[1:]
    outside = socket.socket(fileno=int(wire))
    card = make_card(address)
    socket.send_fds(outside, [b"card"], [card])
    os.close(card)
    asyncio.run(keep(socket.socket(fileno=int(door)), outside, host, int(port)))


if __name__ == "__main__":
    main()
