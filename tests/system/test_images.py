"""Images through any hub: from where the owner of a node allows it, and what they say that they are."""

import base64
import hashlib
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge.vm.tiny import tiny_sector
from tests.system.processes import Answered, EdgeProcess, Fleet, HubProcess, eventually
from tests.unit.vm.needs import qemu

DISK = tiny_sector().ljust(2**20, b"\0")
SHA256 = hashlib.sha256(DISK).hexdigest()
MIB = 2**20
IMAGE_BYTES_MAX = 2 * MIB


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing of each request."""

    def log_message(self, *words: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of a web server with the folders `good` and `bad`, an image in each."""
    for name in ("good", "bad"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "tiny.img").write_bytes(DISK)
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """The folder that the node allows."""
    made = tmp_path / "allowed"
    made.mkdir()
    (made / "tiny.img").write_bytes(DISK)
    return made


@pytest.fixture
def hubs(fleet: Fleet, shelf: Path, site: str) -> tuple[HubProcess, HubProcess]:
    """Two hubs, and a node that allows little."""
    first, second = fleet.two_hubs()
    edge: EdgeProcess = fleet.edge(
        "edge-1",
        [first, second],
        f"IMAGE_FOLDERS={shelf}",
        f"IMAGE_URLS={site}/good/",
        f"IMAGE_BYTES_MAX={IMAGE_BYTES_MAX}",
    )
    fleet.settled([first, second], edge)
    return first, second


def names(hub: HubProcess) -> list[str]:
    """The images of the node, as this hub tells."""
    return [item["name"] for item in hub.call("image.list", node="edge-1")["items"]]


def bring(hub: HubProcess, name: str, **order: Any) -> dict[str, Any]:
    """The operation of an import at its end."""
    operation: dict[str, Any] = hub.call(
        "image.import", node="edge-1", name=name, wait_s=15, **order
    )
    return operation


def upload(hub: HubProcess, name: str, data: bytes, **last: Any) -> dict[str, Any]:
    """The operation of an upload in one piece."""
    piece = base64.b64encode(data).decode()
    order = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **last}
    operation: dict[str, Any] = hub.call(
        "image.upload",
        node="edge-1",
        name=name,
        upload=f"upload-{name}",
        data=piece,
        wait_s=15,
        **order,
    )
    return operation


def refusal(hub: HubProcess, name: str, **order: Any) -> str:
    """The kind of error by which an import is refused, at once or by its operation."""
    try:
        operation = bring(hub, name, **order)
    except Answered as answered:
        return str(answered.kind)
    assert operation["state"] == "failed", operation
    return str(operation["error"]["kind"])


@qemu()
def test_images_come_from_where_the_node_allows_it_and_machines_run_from_them(
    hubs: tuple[HubProcess, HubProcess], shelf: Path, site: str
) -> None:
    first, second = hubs
    path = str(shelf / "tiny.img")
    url = f"{site}/good/tiny.img"
    by_path = bring(first, "by-path", source={"path": path}, sha256=SHA256)
    by_url = bring(second, "by-url", source={"url": url}, sha256=SHA256)
    by_upload = upload(first, "by-upload", DISK)
    for brought in (by_path, by_url, by_upload):
        assert brought["state"] == "done", brought
        assert (brought["result"]["sha256"], brought["result"]["format"]) == (SHA256, "raw")
    for hub in hubs:
        assert names(hub) == ["by-path", "by-upload", "by-url"]

    spec = {"name": "box", "image": "by-url", "memory_mib": 16}
    made = second.call("vm.create", node="edge-1", spec=spec, start=True, wait_s=20)
    assert made["state"] == "done", made
    eventually(
        lambda: "tiny ready" in first.call("vm.console.log", vm="box")["data"], "the guest speaks"
    )
    with pytest.raises(Answered) as held:
        first.call("image.delete", node="edge-1", name="by-url", wait_s=10)
    assert held.value.kind == "conflict"


def test_nothing_comes_from_elsewhere(
    hubs: tuple[HubProcess, HubProcess], shelf: Path, site: str, tmp_path: Path
) -> None:
    first, _ = hubs
    (tmp_path / "secret").write_bytes(bytes(512))
    (shelf / "absolute").symlink_to(tmp_path / "secret")
    (shelf / "relative").symlink_to("../secret")
    (shelf / "deep").symlink_to("..")
    outside = ["/etc/passwd", tmp_path / "secret", shelf / ".." / "secret"]
    for path in (*outside, shelf / "absolute", shelf / "relative", shelf / "deep" / "secret"):
        assert refusal(first, "x", source={"path": str(path)}) == "unauthorized", path
    for url in (f"{site}/bad/tiny.img", f"{site}/good/../bad/tiny.img", "file:///etc/passwd"):
        assert refusal(first, "x", source={"url": url}, sha256=SHA256) == "unauthorized", url
    assert names(first) == []


def test_an_image_must_be_what_was_said_of_it(
    hubs: tuple[HubProcess, HubProcess], shelf: Path, tmp_path: Path
) -> None:
    first, _ = hubs
    wrong = hashlib.sha256(b"another").hexdigest()
    path = {"path": str(shelf / "tiny.img")}
    assert refusal(first, "x", source=path, sha256=wrong) == "invalid_params"
    assert refusal(first, "x", source=path, format="qcow2") == "invalid_params"
    (shelf / "foreign.img").write_bytes(b"KDMV" + bytes(1020))
    (shelf / "builds-on-another.qcow2").write_bytes(qcow2_on(tmp_path / "secret"))
    for name in ("foreign.img", "builds-on-another.qcow2"):
        assert refusal(first, "x", source={"path": str(shelf / name)}) == "invalid_params", name
    with (shelf / "large.img").open("wb") as file:
        file.truncate(IMAGE_BYTES_MAX + 512)
    assert refusal(first, "x", source={"path": str(shelf / "large.img")}) == "insufficient"
    with pytest.raises(Answered) as refused:
        upload(first, "x", bytes(512), size_bytes=IMAGE_BYTES_MAX + 512)
    assert refused.value.kind == "insufficient"
    assert upload(first, "y", b"KDMV" + bytes(1020))["error"]["kind"] == "invalid_params"
    assert names(first) == []


def qcow2_on(backing: Path) -> bytes:
    """The header of a disk (version 2) that shows another file's bytes as its own."""
    name = str(backing).encode()
    fields = (0x514649FB, 2, 512, len(name), 16, MIB, 0, 1, 65536, 131072, 1, 0, 0)
    header = struct.pack(">IIQIIQIIQQIIQ", *fields)
    return header.ljust(512, b"\0") + name.ljust(512, b"\0")
