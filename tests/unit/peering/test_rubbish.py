"""What no sound hub says: it is refused with words, and takes nobody along."""

import msgspec
import pytest

from hub import gossip
from hub.gossip import Gossip, HubRecord
from hub.nodes.others_told import OthersTold
from hub.nodes.tombstones import removal_of, tombstone
from hub.peering.farewell import Farewell, FarewellSection, read_section
from hub.peering.sections import Section, Sections
from shared.errors import BadInput
from shared.merge import UNIX_MS_MAX
from shared.stamp import Stamp

DEEP = b"[" * 100_000 + b"]" * 100_000
PLAIN = gossip.write(Gossip(HubRecord("hub-2", "http://h2", "1", "i", 1), {}, 1))


@pytest.mark.parametrize("extra", [b',"new_field":' + DEEP, b',"sections":{"a":' + DEEP + b"}"])
def test_gossip_that_nests_without_end_is_refused(extra: bytes) -> None:
    """The loop that asked for it goes on: anything but BadInput would end it, and the hub with it."""
    body = PLAIN.replace(b',"sections":{}', b"")[:-1] + extra + b"}"
    with pytest.raises(BadInput, match="gossip cannot be read"):
        gossip.read(body)


class Deep(Section):
    """A section whose reader comes to the end of the stack."""

    name = "deep"

    def of_mine(self, peer: str, now: float) -> None:
        return None

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        msgspec.json.decode(DEEP)


def test_a_section_that_nests_without_end_spoils_no_other() -> None:
    sections, refused = Sections(), list[str]()
    sections.on_refused = lambda hub, name, error, now: refused.append(f"{hub} {name}: {error}")
    sections.add(Deep())
    sections.take({"deep": msgspec.Raw(b"{}")}, "hub-2", 0.0)
    assert refused == ["hub-2 section deep: it nests too deeply"]


@pytest.mark.parametrize("number", [b"1" * 40, b"-" + b"1" * 40, b"9223372036854775808"])
@pytest.mark.parametrize("place", [b"[5,6,", b"[%s,6,", b"[5,%s,"])
def test_a_stamp_that_no_disk_can_hold_is_refused(place: bytes, number: bytes) -> None:
    told = FarewellSection("d", [Farewell("hub-3", 1, Stamp(5, 6, "hub-2"), gone=True)])
    body = msgspec.json.encode(told)
    assert read_section(body) == told
    if b"%s" in place:
        with pytest.raises(BadInput, match="cannot be read"):
            read_section(body.replace(b"[5,6,", place % number))


@pytest.mark.parametrize("at_ms", [10**30, -(10**30), UNIX_MS_MAX + 1, -1, "soon", None, True])
def test_a_removal_is_shown_with_a_time_that_can_be_written(at_ms: object) -> None:
    """The stamp stands in for what is no time, unless it is none either."""
    value = {"at_ms": at_ms, "by": "eve", "why": ""}
    sane = removal_of(tombstone("edge-1", Stamp(7, 0, "hub-1"), value))
    assert sane is not None
    assert sane.at_ms in ({7, 1} if at_ms is True else {7})
    mad = removal_of(tombstone("edge-1", Stamp(2**62, 0, "hub-1"), value))
    assert mad is not None
    assert 0 <= mad.at_ms <= UNIX_MS_MAX


def test_a_node_that_is_gone_makes_room_for_the_failing_checks_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a log says is bounded, and the count follows what is held."""
    monkeypatch.setattr("hub.nodes.others_told.FAILING_MAX", 3)
    others, log = OthersTold(), "hub-2@e1"
    others.load(log, [("a", "ssh", "failed"), ("a", "ssh", "flapping"), ("a", "web", "failed")])
    others.load(log, [("b", "ssh", "failed"), ("c", "ssh", "failed")])
    assert [others.fails(node, "ssh", [log]) for node in "abc"] == [True, True, False]
    others.forget("a")
    others.load(log, [("b", "ssh", "ok"), ("b", "ssh", "ok")])
    others.load(log, [(node, "ssh", "failed") for node in "cdef"])
    assert [others.fails(node, "ssh", [log]) for node in "abcdef"] == [False] * 2 + [True] * 3 + [
        False
    ]
