"""A role's data folder, made private and proven writable, and the cluster key in or near it."""

import os
import tempfile
from pathlib import Path

from shared.errors import SettingsError
from shared.security import read_or_create_secret, read_secret

CLUSTER_KEY_FILE = "cluster.key"


def prepare_folder(folder: Path) -> None:
    """Make the folder, for its owner only; raises SettingsError when it cannot be written to."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Asking for permission tells nothing to root or on a full or read-only disk; writing does.
        descriptor, probe = tempfile.mkstemp(prefix=".probe-", dir=folder)
        os.close(descriptor)
        os.unlink(probe)
    except OSError as error:
        raise SettingsError(
            f"cannot write to the data folder {folder}: {error.strerror}; "
            "make it writable or name another one with DATA=FOLDER"
        ) from error


def find_cluster_key(data: Path, *, nearby: bool) -> str | None:
    """The cluster key in a role's folder; with `nearby` also the one of the hubs beside it."""
    places = [data]
    if nearby:
        places += [data.parent, *sorted(data.parent.glob("hub*"))]
    for place in places:
        if (place / CLUSTER_KEY_FILE).is_file():
            return read_secret(place / CLUSTER_KEY_FILE)
    return None


def make_cluster_key(folder: Path) -> str:
    """The cluster key in this folder, made when there is none."""
    return read_or_create_secret(folder / CLUSTER_KEY_FILE)
