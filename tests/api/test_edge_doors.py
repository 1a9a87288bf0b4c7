"""The doors for edges: first receipts stay, names have one owner, and a bad batch spoils nothing."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import orjson
import pytest

from shared.envelope import BATCH_BYTES_MAX, MAGIC, MEDIA_TYPE, read_batch, write_batch
from shared.records import MIB, Chunk, Gap
from tests.api.conftest import Log, World, beat_of, node_headers


class Reply(msgspec.Struct):
    """A push reply whose receipt is left as the bytes that were sent."""

    receipt: msgspec.Raw
    have: list[list[int]]


def outcomes(answer: Any) -> list[str]:
    return [each["outcome"] for each in answer.json()["receipt"]["outcomes"]]


def reasons(answer: Any) -> list[str]:
    return [each["reason"] for each in answer.json()["receipt"]["outcomes"]]


async def test_a_replayed_batch_gets_its_first_receipt_again_byte_for_byte(world: World) -> None:
    log = Log()
    first_chunks, later_chunks = log.chunks(3), log.chunks(2)
    first = await world.push(first_chunks)
    await world.push(later_chunks)
    again = await world.push(first_chunks)
    assert outcomes(first) == ["accepted"] * 3
    first_reply = msgspec.json.decode(first.content, type=Reply)
    reply = msgspec.json.decode(again.content, type=Reply)
    assert bytes(reply.receipt) == bytes(first_reply.receipt)
    assert (first_reply.have, reply.have) == ([[1, 3]], [[1, 5]])


async def test_a_replay_right_after_is_the_same_answer_and_stores_nothing(world: World) -> None:
    chunks = Log().chunks(4)
    first, again = await world.push(chunks), await world.push(chunks)
    assert first.content == again.content
    assert (world.hub.store.chunks, world.hub.store.records) == (4, 12)


async def test_chunks_that_come_again_in_another_batch_are_duplicates(world: World) -> None:
    one, two, three, four = Log().chunks(4)
    assert outcomes(await world.push([one, two, three])) == ["accepted"] * 3
    assert outcomes(await world.push([two, three, four])) == ["duplicate"] * 2 + ["accepted"]
    assert world.hub.store.chunks == 4
    found = await world.call("log.query", limit=1000)
    assert len(found["items"]) == 12


async def test_other_bytes_under_the_same_key_are_refused_as_a_cloned_origin(world: World) -> None:
    await world.push([Log().chunk(records=3)])
    answer = await world.push([Log().chunk(records=4)])
    assert answer.status_code == 200
    assert outcomes(answer) == ["rejected"]
    assert reasons(answer)[0].startswith("cloned_origin")
    assert world.counted("chunks_rejected") == 1
    assert world.hub.store.records == 3


async def test_what_is_accepted_is_there_after_the_hub_is_opened_again(world: World) -> None:
    chunks = Log().chunks(2)
    await world.push(chunks)
    await world.hub.store.open()
    assert world.hub.store.have(("edge-1", "e1")).to_wire() == [[1, 2]]
    assert outcomes(await world.push(chunks)) == ["accepted"] * 2


async def test_a_batch_for_another_node_is_refused_as_a_whole(world: World) -> None:
    answer = await world.push([Log("edge-2").chunk()], "edge-1")
    assert answer.status_code == 403
    assert "edge-2" in answer.json()["detail"]
    assert world.counted("answers_403") == 1
    await world.still_works()


async def test_a_heartbeat_for_another_node_is_refused(world: World) -> None:
    body = orjson.dumps(beat_of("edge-2"))
    answer = await world.client.post(
        "/edge/heartbeat", content=body, headers=node_headers("edge-1")
    )
    assert answer.status_code == 403
    assert "edge-2" in answer.json()["detail"]
    assert (await world.call("node.list"))["items"] == []
    await world.still_works()


async def test_another_machine_with_a_known_name_but_another_key_is_refused(world: World) -> None:
    assert (await world.beat("edge-1", "the real key")).status_code == 200
    for answer in (
        await world.beat("edge-1", "another key", beat=9),
        await world.push([Log().chunk()], key="another key"),
    ):
        assert answer.status_code == 403
        assert "another machine" in answer.json()["detail"]
    assert (await world.call("node.get", node="edge-1"))["beat"] == 1
    assert (await world.beat("edge-1", "the real key", beat=2)).status_code == 200
    await world.still_works()


async def test_an_edge_without_name_or_key_is_told_what_to_send(world: World) -> None:
    for missing in ("x-headwater-node", "x-headwater-node-key"):
        headers = node_headers("edge-1")
        del headers[missing]
        answer = await world.client.post(
            "/edge/heartbeat", content=orjson.dumps(beat_of("edge-1")), headers=headers
        )
        assert answer.status_code == 400
        assert missing in answer.json()["detail"]


@pytest.mark.parametrize("name", ["Edge-1", "edge 1", "../edge", "a" * 64, "-edge", "edge/1"])
async def test_a_name_that_no_setting_allows_is_refused(world: World, name: str) -> None:
    answer = await world.beat(name)
    assert answer.status_code == 400
    assert (await world.call("node.list"))["items"] == []
    await world.still_works()


async def test_the_key_of_a_node_is_never_shown(world: World) -> None:
    await world.beat("edge-1", "a very secret key")
    assert "key_sha256" not in (await world.call("node.get", node="edge-1"))["facts"]


def spoilt_header(**changes: Any) -> Callable[[], bytes]:
    return lambda: write_batch([Log().chunk(**changes)])


def wrong_hash() -> bytes:
    good, bad = Log().chunks(2)
    return write_batch([good, dataclasses.replace(bad, body=bad.body[:-1] + b"!")])


def two_epochs() -> bytes:
    return write_batch([Log(epoch="e1").chunk(), Log(epoch="e2").chunk()])


def header_garbage() -> bytes:
    chunk = Log().chunk()
    return write_batch([Chunk(chunk.header, b"\xc1 garbage", chunk.body)])


def short_header() -> bytes:
    chunk = Log().chunk()
    return write_batch([Chunk(chunk.header, msgspec.msgpack.encode(["edge-1"]), chunk.body)])


def huge_number() -> bytes:
    chunk = Log().chunk()
    fields: list[Any] = msgspec.msgpack.decode(chunk.header_bytes)
    fields[2] = 2**64 - 1
    return write_batch([Chunk(chunk.header, msgspec.msgpack.encode(fields), chunk.body)])


def odd_gaps(gaps: Any) -> Callable[[], bytes]:
    def batch() -> bytes:
        chunk = Log().chunk()
        fields: list[Any] = msgspec.msgpack.decode(chunk.header_bytes)
        fields[14] = gaps
        return write_batch([Chunk(chunk.header, msgspec.msgpack.encode(fields), chunk.body)])

    return batch


def no_chunks() -> bytes:
    return write_batch([])


def head_that_never_ends() -> bytes:
    return MAGIC + (2**32 - 1).to_bytes(4, "little") + b"x" * 100


GARBAGE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "half a prefix": lambda: MAGIC,
    "another format": lambda: b"GET / HTTP/1.1\r\n\r\n",
    "a head that never ends": head_that_never_ends,
    "no chunks": no_chunks,
    "a head of garbage": lambda: MAGIC + (4).to_bytes(4, "little") + b"\xc1\xff\x00\x01",
    "a header of garbage": header_garbage,
    "a header that is too short": short_header,
    "a body with another hash": wrong_hash,
    "a body cut short": lambda: write_batch(Log().chunks(2))[:-1],
    "bytes after the end": lambda: write_batch(Log().chunks(2)) + b"!",
    "two epochs": two_epochs,
    "sequence zero": spoilt_header(seq=0),
    "a negative sequence": spoilt_header(seq=-5),
    "a negative size": spoilt_header(stored_bytes=-1),
    "a sequence beyond all": huge_number,
    "gaps that are a word": odd_gaps("shed"),
    "a gap that is a word": odd_gaps(["shed"]),
    "a range of three": odd_gaps([["logs", "shed", [[1, 2, 3]], 1, 1, 1, 1, 1]]),
    "a range beyond all numbers": odd_gaps([["logs", "shed", [[1, 2**64 - 1]], 1, 1, 1, 1, "x"]]),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_a_broken_batch_is_refused_as_a_whole(world: World, name: str) -> None:
    answer = await world.push(GARBAGE[name]())
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 15
    assert world.counted("answers_400") == 1
    assert world.hub.store.chunks == 0
    await world.still_works()


REFUSED_CHUNKS: dict[str, dict[str, Any]] = {
    "unknown_signal": {"signal": "profiles"},
    "unknown_encoding": {"encoding": "xml"},
    "unknown_codec": {"codec": "lz4"},
    "negative_length": {"records": -1},
    "bad_length": {"records": 2**63},
    "bad_time": {"time_min_ns": -1},
    "bad_key": {"epoch": "e" * 65},
    "bad_gap": {"gaps": (Gap("logs", "shed", ((5, 1),), 1, 1, 1, 1, 1),)},
    "bad_predecessor": {"predecessor": ("e0", -1)},
}


@pytest.mark.parametrize("reason", REFUSED_CHUNKS)
async def test_a_chunk_that_no_hub_could_use_is_refused_alone(world: World, reason: str) -> None:
    """The chunks beside it are kept, unless they are of another log."""
    log = Log(epoch="e" * 65 if reason == "bad_key" else "e1")
    good, bad = log.chunk(), log.chunk(**REFUSED_CHUNKS[reason])
    answer = await world.push([good, bad])
    assert answer.status_code == 200
    assert outcomes(answer)[1] == "rejected"
    assert reasons(answer)[1].startswith(reason)
    assert world.counted("chunks_rejected") >= 1
    assert world.hub.store.chunks == (0 if reason == "bad_key" else 1)
    await world.still_works()


async def test_a_time_beyond_all_clocks_is_refused_alone(world: World) -> None:
    chunk = Log().chunk(time_max_ns=2**63)
    answer = await world.push([chunk])
    assert (answer.status_code, outcomes(answer)) == (200, ["rejected"])
    await world.still_works()


async def test_fields_of_a_newer_header_are_kept_as_they_came(world: World) -> None:
    chunk = Log().chunk()
    fields: list[Any] = msgspec.msgpack.decode(chunk.header_bytes)
    newer = Chunk(chunk.header, msgspec.msgpack.encode([*fields, "of tomorrow"]), chunk.body)
    assert outcomes(await world.push([newer])) == ["accepted"]
    wanted = {"wanted": [["edge-1", "e1", [[1, 1]]]]}
    passed_on = read_batch((await world.peer("/peer/chunks", wanted)).content)
    assert passed_on.chunks == (newer,)


async def test_another_content_type_is_refused(world: World) -> None:
    headers = {**node_headers("edge-1"), "content-type": "application/json"}
    body = write_batch(Log().chunks(1))
    answer = await world.client.post("/edge/batches", content=body, headers=headers)
    assert answer.status_code == 415
    assert MEDIA_TYPE in answer.json()["detail"]
    assert world.counted("answers_415") == 1
    await world.still_works()


async def test_a_declared_size_over_the_limit_is_refused_before_it_is_read(world: World) -> None:
    headers = {
        **node_headers("edge-1"),
        "content-type": MEDIA_TYPE,
        "content-length": str(BATCH_BYTES_MAX + 1),
    }

    pieces_read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal pieces_read
        pieces_read += 1
        yield b"x"

    answer = await world.client.post("/edge/batches", content=body(), headers=headers)
    assert (answer.status_code, pieces_read) == (413, 0)
    assert world.counted("answers_413") == 1
    await world.still_works()


@pytest.mark.parametrize("path", ["/edge/batches", "/edge/heartbeat"])
async def test_a_body_without_declared_size_is_counted_while_it_comes(
    world: World, path: str
) -> None:
    pieces = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pieces
        while True:
            pieces += 1
            yield b"x" * MIB

    headers = {**node_headers("edge-1"), "content-type": MEDIA_TYPE}
    answer = await world.client.post(path, content=endless(), headers=headers)
    assert answer.status_code == 413
    assert pieces <= BATCH_BYTES_MAX // MIB + 2
    await world.still_works()


async def test_the_largest_body_that_an_edge_takes_in_fits_into_a_batch(world: World) -> None:
    """A body of 64 MiB that does not compress is one chunk, and must not end as a dead letter."""
    body = bytes(64 * MIB + 64 * 1024)
    answer = await world.push([Log().chunk(body=body)])
    assert answer.status_code == 200, answer.text
    assert outcomes(answer) == ["accepted"]


BAD_BEATS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no fields": b"{}",
    "not UTF-8": b'{"node_id": "\xff"}',
    "another type": orjson.dumps(beat_of("edge-1", incarnation="one")),
    "a number beyond 64 bits": orjson.dumps(beat_of("edge-1", beat="#")).replace(
        b'"#"', str(2**70).encode()
    ),
    "a fact beyond 64 bits": orjson.dumps(beat_of("edge-1", facts={"n": "#"})).replace(
        b'"#"', str(2**70).encode()
    ),
    "a negative beat": orjson.dumps(beat_of("edge-1", beat=-1)),
    "a negative incarnation": orjson.dumps(beat_of("edge-1", incarnation=-1)),
    "facts without bottom": b'{"node_id":"edge-1","incarnation":1,"beat":1,"epoch":"e",'
    b'"facts_number":1,"load":{},"buffer":{},"facts":' + b'{"x":' * 400 + b"1" + b"}" * 401,
    "a word for a number of chunks": orjson.dumps(
        beat_of("edge-1", buffer={"pending_chunks": "many"})
    ),
    "a word for an age": orjson.dumps(
        beat_of("edge-1", buffer={"pending_chunks": 1, "oldest_age_s": "old"})
    ),
    "a machine without a name": orjson.dumps(beat_of("edge-1", vms=[{"id": "v"}])),
    "a machine that is a word": orjson.dumps(beat_of("edge-1", vms=["v"])),
}


@pytest.mark.parametrize("name", BAD_BEATS)
async def test_a_broken_heartbeat_is_refused_and_harms_nobody(world: World, name: str) -> None:
    answer = await world.client.post(
        "/edge/heartbeat", content=BAD_BEATS[name], headers=node_headers("edge-1")
    )
    assert answer.status_code == 400, answer.text
    assert world.counted("answers_400") == 1
    assert (await world.call("node.list"))["items"] == []
    await world.still_works()


async def test_a_machine_belongs_to_the_node_that_tells_of_it(world: World) -> None:
    vm = {"id": "v1", "name": "web", "node_id": "edge-2", "state": "running", "status": "running"}
    await world.beat("edge-1", vms=[vm])
    (item,) = (await world.call("vm.list"))["items"]
    assert item["node_id"] == "edge-1"
