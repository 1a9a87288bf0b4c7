"""How a leader is found, and with which hubs that works. Needs the standard library only, as settings do."""

from collections.abc import Sequence
from enum import StrEnum

HUBS_MAX = 9  # A mesh has at most seven; more only make a majority slower.

TWO_HUBS = (
    "leader = quorum with two hubs stops with either of them, since a majority of two is both: "
    "add a third hub to lead_hubs, or set leader = static, which leads with one hub left but "
    "allows two leaders while the hubs cannot hear each other"
)


class Mode(StrEnum):
    """How a leader is found."""

    NONE = "none"
    STATIC = "static"
    QUORUM = "quorum"


def check_mode(mode: Mode, hub_id: str, hubs: Sequence[str]) -> None:
    """Raise ValueError with the reason and the remedy for hubs that this mode cannot work with."""
    if mode is not Mode.QUORUM:
        return
    if hub_id not in hubs:
        raise ValueError(
            f"leader = quorum needs lead_hubs, the names of all hubs that vote, with {hub_id} among them"
        )
    if len(set(hubs)) == 2:
        raise ValueError(TWO_HUBS)
