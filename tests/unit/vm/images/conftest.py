"""The images of one node as a test sees them, without machines unless it makes some up."""

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.vm.crew import Crew
from edge.vm.image_calls import ImageCalls
from edge.vm.image_store import ImageStore
from edge.vm.ledger import Request
from edge.vm.model import Move, Operation, Spec, State, Vm, VmSettings
from edge.vm.operations import Operations
from edge.vm.records import Records
from shared.errors import RpcError
from shared.runtime import Runtime

DISK = b"\x33\xc0" + bytes(510) + b"data" * 256
"""What no program takes for anything but raw bytes; whole sectors."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Shelf:
    """One agent's images; `close` and another one on the same folder is its restart."""

    def __init__(self, folder: Path, runtime: Runtime, settings: VmSettings) -> None:
        self.folder = folder
        self.crew = Crew()
        self.records = Records(folder / "vm.db", runtime, 100, lambda: None)
        self.operations = Operations(self.records, runtime, "edge-1", self.crew, lambda vm_id: None)
        self.store = ImageStore(folder / "images", runtime, settings)
        self.calls = ImageCalls(
            "edge-1", self.store, self.records, self.operations, runtime, settings
        )

    async def open(self) -> None:
        await self.records.open()
        await self.calls.open()

    async def close(self) -> None:
        await self.crew.close()
        await self.calls.close()
        await self.records.close()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.calls.methods()[method](params)

    async def wait(self, method: str, **params: Any) -> dict[str, Any]:
        """Order and await the end of the operation."""
        operation = await self.call(method, **{"wait_s": 30, **params})
        assert operation["state"] != "running", operation
        return operation

    async def refusal(self, method: str, **params: Any) -> RpcError:
        with pytest.raises(RpcError) as caught:
            await self.call(method, **params)
        return caught.value

    async def upload(
        self, name: str, data: bytes, upload: str = "upload-1", **last: Any
    ) -> dict[str, Any]:
        """All of it in one call."""
        return await self.wait(
            "image.upload",
            upload=upload,
            name=name,
            size_bytes=len(data),
            data=base64.b64encode(data).decode(),
            **{"sha256": sha256(data), **last},
        )

    async def add_machine(self, name: str, image: str, **facts: Any) -> None:
        """A record of a machine that was made from an image."""
        vm = Vm(
            id=f"id-{name}",
            node_id="edge-1",
            spec=Spec(name=name, image=image),
            kind="vm",
            driver="qemu",
            created_ms=1,
            **facts,
        )
        operation = Operation(
            id=f"op-{name}",
            request_id=f"r-{name}",
            vm_id=vm.id,
            vm_name=name,
            node_id="edge-1",
            method="vm.create",
            move=Move.CREATE,
            created_ms=1,
            updated_ms=1,
        )
        await self.records.add(
            vm, operation, Request(f"r-{name}", operation.id, "vm.create", "", 1)
        )

    async def names(self) -> list[str]:
        return [item["name"] for item in (await self.call("image.list"))["items"]]

    def files(self) -> list[str]:
        """Everything on disk that is an image or might become one."""
        folders = (self.folder / "images" / "held", self.folder / "images" / "coming")
        return [path.name for folder in folders for path in folder.iterdir()]


OpenShelf = Callable[..., Awaitable[Shelf]]
ABSENT = {"state": State.ABSENT, "handle": {"folder": "x"}}


@pytest.fixture
async def open_shelf(tmp_path: Path, runtime: Runtime) -> AsyncIterator[OpenShelf]:
    """Opens the images of the same folder, as often as a test restarts its agent."""
    opened: list[Shelf] = []

    async def open_one(**settings: Any) -> Shelf:
        for before in opened:
            await before.close()
        settings = {"image_folders": (str(tmp_path / "allowed"),), **settings}
        shelf = Shelf(tmp_path / "node", runtime, VmSettings(**settings))
        await shelf.open()
        opened.append(shelf)
        return shelf

    (tmp_path / "allowed").mkdir()
    yield open_one
    for each in opened:
        await each.close()


@pytest.fixture
async def shelf(open_shelf: OpenShelf) -> Shelf:
    return await open_shelf()


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """The folder that the settings allow."""
    return tmp_path / "allowed"
