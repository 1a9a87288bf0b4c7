"""Whether there is room for an image: under the caps of the settings, and on the disk."""

from dataclasses import dataclass

from shared.errors import RpcError


@dataclass(frozen=True, slots=True)
class Caps:
    """What images may take of a node's disk."""

    image_bytes_max: int
    images_bytes_max: int
    free_bytes_min: int
    """Left to everything else on that disk, the agent's own buffer above all."""


def check_room(
    size_bytes: int, more_bytes: int, held_bytes: int, free_bytes: int, caps: Caps
) -> None:
    """Judge an image of that size of which so much is still to be written, beside others that hold
    so much. Raises RpcError insufficient with the numbers."""
    if size_bytes > caps.image_bytes_max:
        raise _insufficient("an image may have", size_bytes, caps.image_bytes_max)
    if held_bytes + size_bytes > caps.images_bytes_max:
        room = max(caps.images_bytes_max - held_bytes, 0)
        raise _insufficient("among the images of this node there is room for", size_bytes, room)
    if more_bytes > free_bytes - caps.free_bytes_min:
        room = max(free_bytes - caps.free_bytes_min, 0)
        raise _insufficient("on the disk there is room for", more_bytes, room)


def _insufficient(what: str, needed_bytes: int, room_bytes: int) -> RpcError:
    data = {"what": "disk", "needed_bytes": needed_bytes, "available_bytes": room_bytes}
    message = f"{what} {room_bytes} bytes, and {needed_bytes} are needed"
    return RpcError("insufficient", message, data)
