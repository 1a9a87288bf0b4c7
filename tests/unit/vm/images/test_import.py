"""Images from a folder of the node: one effect, whole or not at all."""

import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.vm.image_store import ImageStore
from edge.vm.qemu.images import Images
from shared.errors import RpcError
from tests.unit.vm import needs

from .conftest import ABSENT, DISK, OpenShelf, Shelf, sha256
from .test_format import qcow2


def put(folder: Path, data: bytes = DISK, name: str = "a.img") -> dict[str, str]:
    """A file that may be imported, as a source."""
    (folder / name).write_bytes(data)
    return {"path": str(folder / name)}


async def test_an_image_is_imported_and_described(shelf: Shelf, allowed: Path) -> None:
    source = put(allowed)
    operation = await shelf.wait(
        "image.import", name="debian/12", source=source, requested_by="ann", via_hub="hub-1"
    )
    assert (operation["state"], operation["vm_id"]) == ("done", "image:debian/12"), operation
    image = await shelf.call("image.get", name="debian/12")
    assert {**image, "created_at": None} == {
        "node_id": "edge-1",
        "name": "debian/12",
        "format": "raw",
        "sha256": sha256(DISK),
        "size_bytes": len(DISK),
        "virtual_bytes": len(DISK),
        "source": source["path"],
        "created_at": None,
        "created_by": "ann",
        "via_hub": "hub-1",
        "used_by": [],
    }
    assert operation["result"]["sha256"] == sha256(DISK)
    assert shelf.store.path_of("debian/12").read_bytes() == DISK
    assert shelf.store.format_of("debian/12") == "raw"


async def test_the_store_keeps_its_own_copy_that_nobody_writes(shelf: Shelf, allowed: Path) -> None:
    await shelf.wait("image.import", name="a", source=put(allowed))
    put(allowed, b"other" * 512)
    path = shelf.store.path_of("a")
    assert path.read_bytes() == DISK
    assert path.stat().st_mode & 0o777 == 0o400


async def test_images_survive_a_restart(open_shelf: OpenShelf, allowed: Path) -> None:
    shelf = await open_shelf()
    await shelf.wait("image.import", name="a", source=put(allowed))
    again = await open_shelf()
    assert again.store.names() == ("a",)
    assert again.store.path_of("a").read_bytes() == DISK


async def test_the_same_request_id_has_one_effect(shelf: Shelf, allowed: Path) -> None:
    order = {"name": "a", "source": put(allowed), "request_id": "r-1"}
    first = await shelf.wait("image.import", **order)
    assert (await shelf.wait("image.import", **order))["op_id"] == first["op_id"]
    refusal = await shelf.refusal("image.import", **{**order, "name": "b"})
    assert refusal.kind == "conflict"
    assert await shelf.names() == ["a"]


async def test_a_name_that_is_taken_is_a_conflict(shelf: Shelf, allowed: Path) -> None:
    await shelf.wait("image.import", name="a", source=put(allowed))
    refusal = await shelf.refusal("image.import", name="a", source=put(allowed))
    assert (refusal.kind, refusal.data) == ("conflict", {"image": "a"})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("builtin:tiny", {}),
        ("template:x", {}),
        ("../up", {}),
        ("a\n", {}),
        ("a" * 300, {}),
        ("a", {"source": {}}),
        ("a", {"source": {"path": "/a", "url": "http://a/"}}),
        ("a", {"source": {"url": "http://a/"}}),
        ("a", {"sha256": "12"}),
        ("a", {"format": "vmdk"}),
        ("a", {"more": 1}),
    ],
)
async def test_what_makes_no_sense_is_refused_at_the_door(
    shelf: Shelf, allowed: Path, name: str, change: dict[str, Any]
) -> None:
    order = {"name": name, "source": put(allowed), **change}
    assert (await shelf.refusal("image.import", **order)).kind == "invalid_params"


@pytest.mark.parametrize("path", ["/etc/passwd", "relative", "{allowed}x/a"])
async def test_paths_outside_are_refused_before_anything_is_done(
    shelf: Shelf, allowed: Path, path: str
) -> None:
    source = {"path": path.format(allowed=allowed)}
    assert (await shelf.refusal("image.import", name="a", source=source)).kind == "unauthorized"


async def failure(shelf: Shelf, **order: Any) -> dict[str, Any]:
    """Why an import failed; nothing of it is left."""
    operation = await shelf.wait("image.import", **{"name": "a", **order})
    assert (operation["state"], operation["result"]) == ("failed", None), operation
    assert shelf.files() == []
    assert await shelf.names() == []
    error: dict[str, Any] = operation["error"]
    return error


async def test_a_symbolic_link_that_leads_out_is_refused(shelf: Shelf, allowed: Path) -> None:
    (allowed.parent / "secret").write_bytes(DISK)
    (allowed / "link").symlink_to("../secret")
    error = await failure(shelf, source={"path": str(allowed / "link")})
    assert (error["kind"], "leads out" in error["message"]) == ("unauthorized", True)


async def test_a_missing_file_is_not_found(shelf: Shelf, allowed: Path) -> None:
    assert (await failure(shelf, source={"path": str(allowed / "no")}))["kind"] == "not_found"


async def test_another_hash_than_asked_is_refused(shelf: Shelf, allowed: Path) -> None:
    error = await failure(shelf, source=put(allowed), sha256="0" * 64)
    assert error["kind"] == "invalid_params"
    assert sha256(DISK) in error["message"]


@pytest.mark.parametrize(
    ("data", "claimed", "why"),
    [
        (DISK, "qcow2", "is raw, not qcow2"),
        (qcow2(backing=104), None, "builds on another file"),
        (b"KDMV" + bytes(1020), "raw", "format vmdk"),
        (b"", None, "empty"),
        (b"odd", None, "whole sectors"),
    ],
)
async def test_images_that_lie_are_refused_with_the_reason(
    shelf: Shelf, allowed: Path, data: bytes, claimed: str | None, why: str
) -> None:
    error = await failure(shelf, source=put(allowed, data), format=claimed)
    assert error["kind"] == "invalid_params"
    assert why in error["message"]


async def test_kernels_and_initial_disks_are_plain_files(shelf: Shelf, allowed: Path) -> None:
    kernel = bytes(0x202) + b"HdrS" + bytes(99)
    await shelf.wait("image.import", name="vmlinuz", source=put(allowed, kernel), format="kernel")
    await shelf.wait("image.import", name="initrd", source=put(allowed, b"\x1f\x8bpacked"))
    found = [(image["name"], image["format"], image["virtual_bytes"])
             for image in (await shelf.call("image.list"))["items"]]  # fmt: skip
    assert found == [("initrd", "initrd", None), ("vmlinuz", "kernel", None)]


async def test_drivers_get_disks_as_disks_and_the_rest_as_files(
    shelf: Shelf, allowed: Path, tmp_path: Path
) -> None:
    kernel = bytes(0x202) + b"HdrS" + bytes(99)
    await shelf.wait("image.import", name="disk", source=put(allowed))
    await shelf.wait("image.import", name="vmlinuz", source=put(allowed, kernel))
    images = Images(shelf.store, tmp_path)
    assert images.disk("disk") == (shelf.store.path_of("disk"), "raw")
    assert images.file("vmlinuz").read_bytes() == kernel
    with pytest.raises(RpcError, match="is no disk but kernel"):
        images.disk("vmlinuz")
    with pytest.raises(RpcError, match="no image 'other'"):
        images.file("other")


async def test_the_cap_of_one_image_holds(open_shelf: OpenShelf, allowed: Path) -> None:
    shelf = await open_shelf(image_bytes_max=len(DISK) - 1)
    error = await failure(shelf, source=put(allowed))
    assert error["kind"] == "insufficient"
    assert str(len(DISK)) in error["message"]


async def test_the_cap_of_all_images_holds(open_shelf: OpenShelf, allowed: Path) -> None:
    shelf = await open_shelf(images_bytes_max=2 * len(DISK) - 1)
    await shelf.wait("image.import", name="one", source=put(allowed))
    operation = await shelf.wait("image.import", name="two", source=put(allowed))
    assert operation["error"]["kind"] == "insufficient"
    await shelf.wait("image.delete", name="one")
    operation = await shelf.wait("image.import", name="two", source=put(allowed))
    assert operation["state"] == "done"


async def test_the_disk_keeps_room_for_the_agent(open_shelf: OpenShelf, allowed: Path) -> None:
    shelf = await open_shelf(image_free_bytes_min=1 << 60)
    assert (await failure(shelf, source=put(allowed)))["kind"] == "insufficient"


async def test_holes_stay_holes(shelf: Shelf, allowed: Path) -> None:
    size = 8 * 1024 * 1024
    with (allowed / "a.img").open("wb") as file:
        file.write(DISK)
        file.truncate(size)
    source = {"path": str(allowed / "a.img")}
    operation = await shelf.wait("image.import", name="a", source=source)
    stat = shelf.store.path_of("a").stat()
    assert (operation["state"], stat.st_size) == ("done", size)
    assert stat.st_blocks * 512 < size // 2
    assert operation["result"]["sha256"] == sha256((allowed / "a.img").read_bytes())


# ---- deletion


async def test_an_image_is_deleted_with_its_file(shelf: Shelf, allowed: Path) -> None:
    await shelf.wait("image.import", name="a", source=put(allowed))
    operation = await shelf.wait("image.delete", name="a", request_id="d-1")
    assert (operation["state"], shelf.files()) == ("done", [])
    assert (await shelf.wait("image.delete", name="a", request_id="d-1")) == operation
    assert (await shelf.refusal("image.delete", name="a")).kind == "not_found"
    with pytest.raises(RpcError, match="no image"):
        shelf.store.path_of("a")


async def test_an_image_in_use_is_kept_and_the_refusal_names_by_whom(
    shelf: Shelf, allowed: Path
) -> None:
    await shelf.wait("image.import", name="a", source=put(allowed))
    await shelf.add_machine("web", "a")
    await shelf.add_machine("db", "a")
    await shelf.add_machine("other", "b")
    refusal = await shelf.refusal("image.delete", name="a", force=True)
    assert (refusal.kind, refusal.data["machines"]) == ("conflict", ["db", "web"])
    assert (await shelf.call("image.get", name="a"))["used_by"] == ["db", "web"]
    assert shelf.store.path_of("a").exists()


async def test_kept_disks_of_deleted_machines_need_a_second_word(
    shelf: Shelf, allowed: Path
) -> None:
    await shelf.wait("image.import", name="a", source=put(allowed))
    await shelf.add_machine("gone", "a", **ABSENT)
    refusal = await shelf.refusal("image.delete", name="a")
    assert (refusal.kind, refusal.data["machines"]) == ("conflict", ["gone"])
    assert (await shelf.wait("image.delete", name="a", force=True))["state"] == "done"


async def test_a_machine_that_is_made_meanwhile_keeps_its_image(
    shelf: Shelf, allowed: Path
) -> None:
    """Whoever makes a machine holds this lock from its look at the image to its record."""
    await shelf.wait("image.import", name="a", source=put(allowed))
    async with shelf.operations.lock(""):
        begun = await shelf.call("image.delete", name="a", wait_s=0)
        assert begun["state"] == "running"
        await shelf.add_machine("web", "a")
    over = await shelf.operations.wait(await shelf.operations.get(begun["op_id"]), 30)
    assert over.error is not None
    assert (over.error.kind, "in use by web" in over.error.message) == ("conflict", True)
    assert shelf.store.path_of("a").exists()


# ---- crashes


async def test_leftovers_of_a_crash_are_swept(open_shelf: OpenShelf, allowed: Path) -> None:
    shelf = await open_shelf()
    await shelf.wait("image.import", name="a", source=put(allowed))
    for folder in ("held", "coming"):
        (shelf.folder / "images" / folder / "leftover").write_bytes(b"x")
    again = await open_shelf()
    assert again.files() == [again.store.record_of("a").file]


async def test_files_are_kept_when_only_the_book_was_lost(
    open_shelf: OpenShelf, allowed: Path
) -> None:
    """A person can still find the images of a node in them."""
    shelf = await open_shelf()
    await shelf.wait("image.import", name="a", source=put(allowed))
    await shelf.close()
    for path in (shelf.folder / "images").glob("images.db*"):
        path.unlink()
    again = await open_shelf()
    assert (await again.names(), len(again.files())) == ([], 1)


@pytest.mark.parametrize("place", ["look", "_place", "publish"])
async def test_an_agent_that_dies_during_an_import_leaves_nothing(
    open_shelf: OpenShelf, allowed: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    shelf = await open_shelf()
    whole = getattr(ImageStore, place)

    def die(self: ImageStore, *words: Any) -> None:
        if place == "_place":
            whole(self, *words)
        raise OSError("the agent dies here")

    with monkeypatch.context() as patch:
        patch.setattr(ImageStore, place, die)
        patch.setattr(ImageStore, "discard", lambda self, file: None)
        operation = await shelf.wait("image.import", name="a", source=put(allowed))
        assert operation["state"] == "failed"
    assert len(shelf.files()) == 1
    again = await open_shelf()
    assert (again.files(), await again.names()) == ([], [])


async def test_an_image_that_was_there_before_the_crash_makes_its_operation_done(
    open_shelf: OpenShelf, allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = await open_shelf()
    operation = await shelf.wait("image.import", name="a", source=put(allowed), request_id="r-1")
    cut_off = await shelf.operations.get(operation["op_id"])
    changes = {"state": "running", "result": None, "progress": 99}
    running = msgspec.convert({**msgspec.to_builtins(cut_off), **changes}, type(cut_off))
    await shelf.records.write(running)
    again = await open_shelf()
    found = await again.wait("image.import", name="a", source={"path": str(allowed / "a.img")},
                             request_id="r-1")  # fmt: skip
    assert (found["op_id"], found["state"]) == (operation["op_id"], "done")
    assert found["result"]["name"] == "a"


async def test_a_file_that_somebody_removed_is_said_to_be_gone(shelf: Shelf, allowed: Path) -> None:
    await shelf.wait("image.import", name="a", source=put(allowed))
    os.unlink(shelf.store.path_of("a"))
    with pytest.raises(RpcError, match="is gone"):
        shelf.store.path_of("a")


# ---- the second opinion


@needs.qemu()
async def test_a_real_qcow2_is_taken(shelf: Shelf, allowed: Path) -> None:
    make(allowed / "a.qcow2", "5M")
    operation = await shelf.wait(
        "image.import", name="a", source={"path": str(allowed / "a.qcow2")}, format="qcow2"
    )
    assert operation["state"] == "done", operation["error"]
    assert operation["result"]["virtual_bytes"] == 5 * 1024 * 1024


@needs.qemu()
async def test_a_real_overlay_is_refused(shelf: Shelf, allowed: Path) -> None:
    make(allowed / "base.qcow2", "5M")
    make(allowed / "a.qcow2", "-b", str(allowed / "base.qcow2"), "-F", "qcow2")
    error = await failure(shelf, source={"path": str(allowed / "a.qcow2")})
    assert "builds on another file" in error["message"]


@needs.qemu()
async def test_a_real_file_with_its_data_elsewhere_is_refused(shelf: Shelf, allowed: Path) -> None:
    data_file = f"data_file={allowed / 'data.raw'},data_file_raw=on"
    make(allowed / "a.qcow2", "-o", data_file, "5M")
    error = await failure(shelf, source={"path": str(allowed / "a.qcow2")})
    assert "data in another file" in error["message"]


@needs.qemu()
async def test_a_head_without_a_body_is_refused_by_qemu_img(shelf: Shelf, allowed: Path) -> None:
    """Our own eyes see the first bytes only."""
    error = await failure(shelf, source=put(allowed, qcow2()))
    assert "qemu-img cannot read" in error["message"]


def make(path: Path, *words: str) -> None:
    options, size = list(words), []
    if words[-1].endswith("M"):
        options, size = list(words[:-1]), [words[-1]]
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), *size], check=True
    )
