"""What hubs tell each other of the replicated settings, within each exchange of gossip."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.errors import BadInput, TooLarge
from shared.merge import Count

PAGE_ENTRIES = 100
PAGE_BYTES = 256 * 1024  # Of values; one page is on its way at a time.
SECTION_BYTES_MAX = 2 * 1024 * 1024

Instance = Annotated[str, Meta(max_length=100)]


class Section(msgspec.Struct, frozen=True):
    """One side of an exchange. `instance` names the life of the sender's numbers, of which `entries`
    are those above `after` up to `through`, and `head` is the last; `since` is how far the sender has
    the receiver's numbers, of the life `since_instance`. `hash` and `count` are those of all that is
    in force at the sender. Entries are checked one by one: `shared.conf.read_entry`."""

    instance: Instance
    hash: Annotated[str, Meta(max_length=64)]
    count: Count
    head: Count
    after: Count
    through: Count
    since_instance: Instance
    since: Count
    entries: Annotated[list[Any], Meta(max_length=PAGE_ENTRIES)] = []


_decoder = msgspec.json.Decoder(Section)


def read_section(body: bytes) -> Section:
    """Read a section; raises TooLarge or BadInput."""
    if len(body) > SECTION_BYTES_MAX:
        raise TooLarge("the settings in the gossip of a hub", SECTION_BYTES_MAX)
    try:
        section = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the settings in the gossip cannot be read: {error}") from error
    check_section(section)
    return section


def check_section(section: Section) -> None:
    """Refuse numbers that contradict each other; raises BadInput."""
    if not section.after <= section.through <= section.head:
        raise BadInput(
            f"the settings in the gossip reach from {section.after} to {section.through} "
            f"of {section.head}: these numbers contradict each other"
        )


def write_section(section: Section) -> bytes:
    """The section as JSON."""
    return msgspec.json.encode(section)
