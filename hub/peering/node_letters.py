"""What hubs tell each other of nodes, as it travels: MessagePack, and within zstd where that saves room."""

from hub.peering.exchange_wire import MESSAGE_BYTES_MAX, Head, Kind, Message, read, write
from shared.codec import compress, decompress

MEDIA_TYPE = "application/vnd.msgpack"

PLAIN_BYTES_MAX = 1024
"""Smaller messages are not worth the work."""

_ZSTD = b"\x28\xb5\x2f\xfd"
"""How a frame begins (RFC 8878, 3.1.1). A message is a map, whose first byte is another one."""


def write_letter(message: Message) -> bytes:
    """A message as it is posted."""
    body = write(message)
    return body if len(body) <= PLAIN_BYTES_MAX else compress(body)


def read_letter(letter: bytes, kind: type[Kind], cluster: str) -> Kind:
    """Read what was posted; raises BadInput, or Refused when it is of another cluster."""
    body = decompress(letter, MESSAGE_BYTES_MAX) if letter.startswith(_ZSTD) else letter
    return read(body, kind, cluster)


def read_any(letter: bytes, cluster: str) -> Head:
    """Read a message of any kind; raises BadInput, or Refused when it is of another cluster."""
    return read_letter(letter, Head, cluster)
