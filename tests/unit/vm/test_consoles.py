"""What machines show on their consoles becomes log lines: each once, and floods are bounded."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vm.console_lines import (
    ConsoleLimits,
    Page,
    Place,
    dump_places,
    load_places,
    start_of_reading,
    take_lines,
)
from edge.vm.consoles import KEY, Consoles
from edge.vm.service import Telemetry
from shared.errors import BadInput
from tests.examples import examples

from .conftest import OpenNode
from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .kept import Kept
from .waiting import until

MIB = 1024 * 1024


def reader(node: Any, kept: Kept, **limits: Any) -> Consoles:
    """Reads the consoles of a node, round by round."""
    tellers = node.service._build_tellers(
        Telemetry(kept, {"headwater.node": "edge-1"}, ConsoleLimits(**limits)),
        node.service._actions._runtime,
    )
    found: Consoles = tellers[1].__self__
    return found


async def test_lines_are_told_as_they_end(fake: FakeNode, world: World) -> None:
    kept = Kept()
    await fake.create()
    consoles = reader(fake, kept)
    world.one().console = b"one\r\n\x1b[1mtwo\x1b[0m\n\nthr"
    await consoles.take()
    assert kept.texts() == ["one", "\x1b[1mtwo\x1b[0m"], "escape sequences stay in"
    world.one().console += b"ee\n"
    await consoles.take()
    assert kept.texts()[2:] == ["three"]


async def test_a_prompt_that_nobody_answers_is_told_after_a_while(
    fake: FakeNode, world: World
) -> None:
    kept = Kept()
    await fake.create()
    consoles = reader(fake, kept, partial_seconds_max=0.0)
    world.one().console = b"login: "
    await consoles.take()
    assert kept.texts() == []
    await consoles.take()
    assert kept.texts() == ["login: "]
    world.one().console += b"root\n"
    await consoles.take()
    assert kept.texts() == ["login: ", "root"]


async def test_a_restart_loses_and_repeats_nothing(open_fake: OpenFake, world: World) -> None:
    kept = Kept()
    node = await open_fake()
    await node.create()
    world.one().console = b"one\ntwo\nthr"
    await reader(node, kept).take()
    await node.die()
    world.one().console += b"ee\nfour\n"
    consoles = reader(await open_fake(), kept)
    await consoles.begin()
    await consoles.take()
    assert kept.texts() == ["one", "two", "three", "four"]


async def test_a_full_buffer_lets_the_console_wait(fake: FakeNode, world: World) -> None:
    kept = Kept()
    await fake.create()
    consoles = reader(fake, kept)
    world.one().console = b"one\n"
    kept.is_full = True
    assert await consoles.take() >= 0.01
    kept.is_full = False
    await consoles.take()
    assert kept.texts() == ["one"]


async def test_a_flood_is_bounded_and_said(fake: FakeNode, world: World) -> None:
    """100 MB in rounds of 8 MiB: each round tells its share, and how much it passed over."""
    kept = Kept()
    await fake.create()
    await fake.create("quiet")
    loud, quiet = world.machines.values()
    quiet.console = b"here\n"
    consoles = reader(fake, kept, share_bytes=16384, backlog_bytes_max=65536)
    line = b"x" * 99 + b"\n"
    for _ in range(13):
        loud.dropped_bytes += len(loud.console)
        loud.console = line * (8 * MIB // 100)
        await consoles.take()
    total = loud.dropped_bytes + len(loud.console)
    assert total > 100_000_000
    texts = kept.texts()
    said = [int(text.split()[0]) for text in texts if "passed over" in text]
    assert len(said) == 13
    told_bytes = sum(len(text) + 1 for text in texts if "passed over" not in text)
    assert told_bytes <= 14 * 16384
    assert sum(said) + told_bytes == pytest.approx(total, abs=13 * 100)
    assert kept.texts("quiet") == ["here"]
    assert max(len(part.body) for part in kept.parts) < 64 * 1024


async def test_many_loud_machines_share_what_a_round_may_take(fake: FakeNode, world: World) -> None:
    kept = Kept()
    for number in range(6):
        await fake.create(f"box-{number}")
    for machine in world.machines.values():
        machine.console = b"y" * 999 + b"\n" * 1
        machine.console *= 200
    consoles = reader(fake, kept, share_bytes=20_000, round_bytes_max=50_000)
    for _ in range(12):
        await consoles.take()
    assert max(len(part.body) for part in kept.parts) < 75_000
    counts = {len(kept.texts(f"box-{number}")) for number in range(6)}
    assert min(counts) > 60, "no machine is left out"


async def test_an_output_that_its_log_has_already_dropped_is_counted(
    fake: FakeNode, world: World
) -> None:
    kept = Kept()
    await fake.create()
    world.one().console, world.one().dropped_bytes = b"new\n", 500
    await reader(fake, kept).take()
    assert kept.texts() == [
        "500 bytes of this console were passed over: it wrote more than is told",
        "new",
    ]


async def test_a_stopped_machine_is_read_to_its_end_and_then_left_alone(
    fake: FakeNode, world: World
) -> None:
    kept = Kept()
    await fake.create()
    consoles = reader(fake, kept)
    world.one().console = b"bye\n"
    await fake.call("vm.stop", vm="box", wait_s=30)
    await consoles.take()
    world.broken = {"console"}  # It is not even looked at.
    assert await consoles._round() == []
    assert kept.texts() == ["bye"]


async def test_one_console_that_cannot_be_read_hides_no_other(fake: FakeNode, world: World) -> None:
    kept = Kept()
    await fake.create()
    world.broken = {"console"}
    assert await reader(fake, kept).take() > 0
    assert kept.parts == []


async def test_places_of_machines_that_are_gone_are_forgotten(fake: FakeNode, world: World) -> None:
    kept = Kept()
    await fake.create("one")
    await fake.create("two")
    for machine in world.machines.values():
        machine.console = b"line\n"
    consoles = reader(fake, kept)
    await consoles.take()
    assert len(load_places(kept.checkpoints[KEY])) == 2
    await fake.call("vm.delete", vm="one", force=True, wait_s=30)
    world.one().console += b"more\n"
    await consoles.take()
    assert len(load_places(kept.checkpoints[KEY])) == 1


async def test_a_real_sandbox_is_read_along(open_node: OpenNode) -> None:
    kept = Kept()
    node = await open_node()
    await node.create()
    consoles = reader(node, kept)
    await node.type("echo real$((40+2))")

    async def texts() -> list[str]:
        await consoles.take()
        return kept.texts()

    assert "real42" in await until(texts, lambda seen: "real42" in seen)


# ---- the rules


@given(state=st.binary(max_size=200))
@settings(max_examples=examples(100))
def test_a_damaged_checkpoint_is_refused_and_nothing_else(state: bytes) -> None:
    try:
        load_places(state)
    except BadInput:
        return


def test_places_are_read_back() -> None:
    places = {"a": Place(7, 1), "b": Place()}
    assert load_places(dump_places(places)) == places
    assert load_places(None) == {}


def test_only_a_backlog_that_is_too_long_is_passed_over() -> None:
    limits = ConsoleLimits(share_bytes=10, backlog_bytes_max=100)
    assert start_of_reading(Place(5), 105, limits) == 5
    assert start_of_reading(Place(5), 106, limits) == 96


@given(
    chunks=st.lists(st.text(alphabet="ab\n", max_size=60)),
    lines_max=st.integers(2, 5),
)
@settings(max_examples=examples(200))
def test_all_text_is_told_once_however_the_console_grew(chunks: list[str], lines_max: int) -> None:
    limits = ConsoleLimits(share_bytes=64, line_bytes_max=16, lines_max=lines_max)
    console, place, kept = b"", Place(), Kept()
    for chunk in [*chunks, ""]:
        console += chunk.encode()
        for flush in (False, not chunk):
            place = read_on(console, place, limits, kept, flush=flush)
    assert "".join(kept.texts()) == console.decode().replace("\n", "")
    assert place.offset == len(console)


def read_on(
    console: bytes, place: Place, limits: ConsoleLimits, kept: Kept, *, flush: bool
) -> Place:
    """Read until nothing more can be taken."""
    while True:
        page = Page(place.offset, len(console), console[place.offset :][: limits.share_bytes])
        taken = take_lines(place, page, limits, {"vm.name": "box"}, 1, flush=flush)
        if taken.part is not None:
            assert taken.part.records <= limits.lines_max + limits.share_bytes // 16
            kept.parts.append(taken.part)
        if taken.place == place:
            return place
        place = taken.place
