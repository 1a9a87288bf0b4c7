"""The images of a node on disk: `images.db` says what there is, `held` holds the files, `coming`
what is not whole yet.

A file is made durable, gets its place and then its record; one without a record is the leftover of
a crash and is swept when the store is opened. Files never change, since the disks of machines build
on them.
"""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from edge.vm.image_check import look
from edge.vm.image_incoming import Incoming, free_bytes, unwritable
from edge.vm.image_ledger import ImageLedger
from edge.vm.image_model import ImageFormat, ImageRecord
from edge.vm.image_room import Caps, check_room
from edge.vm.model import VmSettings
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.sqlite import sync_folder
from shared.tasks import to_its_end

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class ImageStore:
    """What a node holds. Reads come from memory and may be asked for in any thread."""

    def __init__(self, folder: Path, runtime: Runtime, settings: VmSettings) -> None:
        self._folder = folder.absolute()
        self._runtime = runtime
        self._caps = Caps(
            settings.image_bytes_max, settings.images_bytes_max, settings.image_free_bytes_min
        )
        self._lock = asyncio.Lock()
        self._ledger: ImageLedger | None = None
        self._is_new = False
        # Replaced and never changed: threads read them without a lock.
        self._images: dict[str, ImageRecord] = {}
        self._claims: dict[str, int] = {}
        self._claiming = threading.Lock()

    # ---- for drivers

    def names(self) -> Sequence[str]:
        """Every image, sorted."""
        return tuple(sorted(self._images))

    def path_of(self, name: str) -> Path:
        """Its file; raises RpcError not_found."""
        path = self._held / self.record_of(name).file
        if not path.is_file():
            message = f"the file of image {name!r} is gone: delete it and import it again"
            raise RpcError("not_found", message, {"image": name})
        return path

    def format_of(self, name: str) -> str:
        """`raw`, `qcow2`, `kernel` or `initrd`; raises RpcError not_found."""
        return self.record_of(name).format.value

    # ---- for people

    def record_of(self, name: str) -> ImageRecord:
        """What is known of an image; raises RpcError not_found."""
        found = self._images.get(name)
        if found is None:
            raise RpcError("not_found", f"this node has no image {name!r}", {"image": name})
        return found

    def records(self) -> list[ImageRecord]:
        """Every image, by name."""
        return [self._images[name] for name in self.names()]

    async def room(self) -> dict[str, int]:
        """How much is held, and what may be held, in bytes."""
        free = await self._runtime.offload(lambda: free_bytes(self._folder))
        return {
            "held_bytes": self._held_bytes(),
            "free_bytes": free,
            "image_bytes_max": self._caps.image_bytes_max,
            "images_bytes_max": self._caps.images_bytes_max,
        }

    # ---- life

    async def open(self) -> None:
        """Open or make the store and sweep what a crash left; raises OSError and sqlite3.Error."""
        await self._runtime.offload(self._open)
        self._images = {image.name: image for image in await self.read(ImageLedger.images)}
        uploads = await self.read(ImageLedger.uploads)
        self._claims = {upload.file: upload.size_bytes for upload in uploads}
        await self._runtime.offload(self._sweep)

    async def close(self) -> None:
        """Close the book after what is being written."""
        async with self._lock:
            ledger, self._ledger = self._ledger, None
            if ledger is not None:
                await self._runtime.offload(ledger.close)

    async def read(self, question: Callable[[ImageLedger], Result]) -> Result:
        """Ask or change the book itself."""
        async with self._lock:
            ledger = self._ledger
            if ledger is None:
                raise RpcError("internal", "this agent is closing")
            answer: Result = await to_its_end(self._runtime.offload(lambda: question(ledger)))
            return answer

    # ---- the way in

    def incoming(self) -> Incoming:
        """A new file that is to become an image; `claim` room for it, and `discard` it in the end
        if it did not."""
        file = self._runtime.token_hex(16)
        return Incoming(self.coming(file), lambda size, more: self._admit(file, size, more))

    def claim(self, file: str, size_bytes: int) -> None:
        """Keep room for a file before its first byte; blocking. Raises RpcError insufficient."""
        with self._claiming:
            free, held = free_bytes(self._folder), self._held_bytes()
            check_room(size_bytes, size_bytes, held, free, self._caps)
            self._claims = {**self._claims, file: size_bytes}

    def check_piece(self, more_bytes: int) -> None:
        """Raise RpcError insufficient when the disk has no room for a piece; blocking."""
        check_room(more_bytes, more_bytes, 0, free_bytes(self._folder), self._caps)

    def drop_claim(self, file: str) -> None:
        """Give back what was kept."""
        with self._claiming:
            self._claims = {key: size for key, size in self._claims.items() if key != file}

    def coming(self, file: str) -> Path:
        """Where a file is while it is not whole."""
        return self._folder / "coming" / file

    def discard(self, file: str) -> None:
        """Remove a file that will not become an image; blocking and repeatable."""
        self.coming(file).unlink(missing_ok=True)
        self.drop_claim(file)

    def look(self, file: str, claimed: ImageFormat | None) -> tuple[ImageFormat, int | None]:
        """What a whole file is; blocking. Raises RpcError invalid_params, driver_unavailable."""
        path = self.coming(file)
        return look(path, path.stat().st_size, claimed)

    async def publish(self, image: ImageRecord, upload_id: str = "") -> None:
        """Turn a whole file into an image, and end its upload; a cancellation does not cut it in
        two. Raises RpcError conflict for a name that is taken.
        """
        await to_its_end(self._publish(image, upload_id))

    async def remove(self, name: str) -> ImageRecord:
        """Forget an image and remove its file; the caller knows that nothing builds on it."""
        return await to_its_end(self._remove(name))

    async def _publish(self, image: ImageRecord, upload_id: str) -> None:
        if image.name in self._images:
            raise taken(image.name)
        await self._runtime.offload(lambda: self._place(image.file))
        try:
            await self.read(lambda ledger: ledger.add(image, upload_id))
        except sqlite3.Error as error:
            await self._runtime.offload(lambda: self._discard_held(image.file))
            raise RpcError("driver_error", f"the book of images: {error}") from error
        self._images = {**self._images, image.name: image}
        self.drop_claim(image.file)

    async def _remove(self, name: str) -> ImageRecord:
        image = self.record_of(name)
        # The record first: a crash in between leaves a file that the next start sweeps.
        await self.read(lambda ledger: ledger.remove(name))
        self._images = {key: held for key, held in self._images.items() if key != name}
        await self._runtime.offload(lambda: self._discard_held(image.file))
        return image

    # ---- on disk

    @property
    def _held(self) -> Path:
        return self._folder / "held"

    def _held_bytes(self) -> int:
        held = sum(image.size_bytes for image in self._images.values())
        return held + sum(self._claims.values())

    def _admit(self, file: str, size_bytes: int, more_bytes: int) -> None:
        with self._claiming:
            claimed = self._claims.get(file, 0)
            others = self._held_bytes() - claimed
            check_room(size_bytes, more_bytes, others, free_bytes(self._folder), self._caps)
            self._claims = {**self._claims, file: max(size_bytes, claimed)}

    def _open(self) -> None:
        for folder in (self._folder, self._held, self._folder / "coming"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / "images.db"
        self._is_new = not path.exists()
        self._ledger = ImageLedger(path)

    def _sweep(self) -> None:
        known = {image.file for image in self._images.values()}
        for path in self._held.iterdir():
            if self._is_new:  # The book was lost, not the files: a person must look.
                log.error("%s belongs to an image that no book names; it is kept", path)
            elif path.name not in known:
                log.warning("removing %s, which a crash left behind", path)
                path.unlink()
        for path in (self._folder / "coming").iterdir():
            if path.name not in self._claims:
                path.unlink()

    def _place(self, file: str) -> None:
        path = self.coming(file)
        try:
            path.chmod(0o400)
            os.replace(path, self._held / file)
            sync_folder(self._held)
        except OSError as error:
            raise unwritable(error) from error

    def _discard_held(self, file: str) -> None:
        (self._held / file).unlink(missing_ok=True)


def taken(name: str) -> RpcError:
    """A name that is in use."""
    message = f"this node already has an image {name!r}: delete it first, or choose another name"
    return RpcError("conflict", message, {"image": name})
