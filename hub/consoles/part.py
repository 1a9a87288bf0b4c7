"""Consoles as a part of a hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub.call_streams import CallStreams
from hub.consoles.door import METHOD, PATH, ConsoleDoor
from hub.consoles.place import Place
from hub.consoles.tickets import OpenConsole
from hub.ground import Ground
from hub.machines.listing import VmList
from hub.peering.sections import Section
from hub.rpc import Method
from hub.stream_doors import StreamDoors
from hub.web.routes import RouteSpec
from hub.web.sockets import SocketSpec

SUMMARY = "A ticket for a console at GET /console/stream: vm, node, mode, since, tail, cols, rows."


@dataclass(frozen=True, slots=True)
class ConsolePart:
    """Tickets, the socket for viewers, and the one for peers that look for a stream."""

    door: ConsoleDoor
    streams: StreamDoors

    def methods(self) -> Mapping[str, Method]:
        """What it answers to RPC calls."""
        return {METHOD: Method(self.door.open, OpenConsole, SUMMARY)}

    def routes(self) -> Sequence[RouteSpec]:
        """None: its doors are sockets."""
        return ()

    def sections(self) -> Sequence[Section]:
        """None: a console is between a viewer and a machine."""
        return ()

    async def run(self) -> None:
        """There is nothing to keep going."""

    async def close(self) -> None:
        """Sockets end with the server."""


def build(ground: Ground) -> ConsolePart:
    """The part of this hub; its sockets are added to those of the hub."""
    streams = CallStreams(ground.calls, ground.runtime.dial, ground.mesh.headers)
    place = Place(ground.registry, VmList(ground.registry, lambda node: ()))
    door = ConsoleDoor(
        ground.hub_id,
        streams,
        place.node_of,
        ground.runtime.token_hex,
        ground.report,
        ground.stopping,
    )
    doors = StreamDoors(streams, ground.mesh)
    ground.sockets.extend([SocketSpec(PATH, "admin", door.serve), *doors.sockets()])
    ground.in_gauges.append(lambda: {"consoles": float(len(door.viewers))})
    return ConsolePart(door, doors)
