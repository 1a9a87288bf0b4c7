"""Who this edge is: one file, written atomically, so that name, key and incarnation never part ways."""

import secrets
from pathlib import Path

import msgspec

from shared.errors import SettingsError
from shared.security import write_private

FILE_NAME = "identity.json"


class Identity(msgspec.Struct, frozen=True):
    """The node's id, the key that proves it to hubs, and how often the agent has started."""

    node_id: str
    node_key: str
    incarnation: int


def take_up(folder: Path, node_id: str) -> Identity:
    """The identity in this folder with the next incarnation, made on first start.

    Raises SettingsError when the folder belongs to another node or the file cannot be read.
    """
    path = folder / FILE_NAME
    known = _read(path) if path.exists() else Identity(node_id, secrets.token_urlsafe(32), 0)
    if known.node_id != node_id:
        raise SettingsError(
            f"{folder} belongs to the node {known.node_id}, not {node_id}: "
            "give this node its own data folder, or its old name"
        )
    identity = Identity(known.node_id, known.node_key, known.incarnation + 1)
    _write(path, identity)
    return identity


def outrank(folder: Path, identity: Identity, incarnation: int) -> Identity:
    """The identity with a higher incarnation than that of a copy of this edge; returns once it is on
    disk. Raises OSError."""
    higher = max(identity.incarnation, incarnation + 1)
    raised = Identity(identity.node_id, identity.node_key, higher)
    _write(folder / FILE_NAME, raised)
    return raised


def _write(path: Path, identity: Identity) -> None:
    write_private(path, msgspec.json.encode(identity).decode())


def _read(path: Path) -> Identity:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(f"cannot read the identity in {path}: {error}") from error
