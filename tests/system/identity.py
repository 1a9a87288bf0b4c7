"""Whether hubs hold the same bytes: every chunk of every log, also of the hubs' own, in the same day file."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub_files import chunks_in
from tests.system.processes import HubProcess

Key = tuple[str, str, int]
"""Origin, epoch and number of a chunk."""

SETTLE_SECONDS = 60.0
LOOK_SECONDS = 0.5
SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Kept:
    """What must be the same on every hub: the day file, and the bytes by their SHA-256."""

    file: str
    hash: bytes
    header: bytes
    body_sha256: bytes


def picture(folder: Path) -> dict[Key, Kept]:
    """All chunks in the folder of a hub, which may run meanwhile."""
    return {
        (each.origin, each.epoch, each.seq): Kept(
            each.file,
            each.hash,
            hashlib.sha256(each.header).digest(),
            hashlib.sha256(each.body).digest(),
        )
        for each in chunks_in(folder)
    }


def differences(hubs: Sequence[HubProcess]) -> list[str]:
    """One sentence for each hub that does not hold what the first one does."""
    pictures = [picture(hub.database.parent) for hub in hubs]
    return [
        f"{hub.name} differs from {hubs[0].name} in {len(differing)} chunks,"
        f" such as {differing[:SHOWN_MAX]}"
        for hub, mine in zip(hubs[1:], pictures[1:], strict=True)
        if (differing := sorted(_differing(pictures[0], mine)))
    ]


def _differing(one: dict[Key, Kept], other: dict[Key, Kept]) -> list[Key]:
    return [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]


def lasting_differences(
    hubs: Sequence[HubProcess], seconds_max: float = SETTLE_SECONDS
) -> list[str]:
    """What still differs after some time; empty as soon as all hubs are byte-identical.

    Hubs write of themselves every few seconds, and what one has just written is on its way.
    """
    deadline = time.monotonic() + seconds_max
    while found := differences(hubs):
        if time.monotonic() > deadline:
            return found
        time.sleep(LOOK_SECONDS)
    return []


def assert_identical(hubs: Sequence[HubProcess], seconds_max: float = SETTLE_SECONDS) -> None:
    """Wait until all hubs hold the same chunks, byte for byte and in the same day files."""
    found = lasting_differences(hubs, seconds_max)
    if found:
        pytest.fail(f"waited {seconds_max:.0f} s in vain: {found}")
