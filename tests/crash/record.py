"""Recording what a run does to a folder: SQLite through its VFS, our own code through `os` and `open`.

Only what goes through the modules `os` and `io` by name is seen, which is how our code and pathlib do
it. Threads may work at the same time; the trace has their operations in the order they happened.
"""

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.crash.recorder import Recorder
from tests.crash.trace import Trace
from tests.crash.vfs import shim

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]


@contextmanager
def recording(folder: Path) -> Iterator[Trace]:
    """Record all that happens to the files below a folder; open them inside, and close them again."""
    told = shim()
    assert told is not None, "SQLite is built into this Python: its writes cannot be recorded"
    recorder = Recorder(folder)
    with ExitStack() as stack:
        stack.enter_context(told.telling(recorder))
        for name, make in _OURS.items():
            ours = make(recorder, getattr(os, name))
            stack.enter_context(mock.patch.object(os, name, ours))
        for module in (builtins, io):
            stack.enter_context(mock.patch.object(module, "open", _opening(recorder, io.open)))
        yield recorder.trace


Function = Callable[..., Any]


def _path_name(recorder: Recorder, path: Any, options: dict[str, Any]) -> str | None:
    if isinstance(path, int) or options.get("dir_fd") is not None:
        return None
    return recorder.name_of(os.fsdecode(path))


def _on_names(tell: Callable[[Recorder, str], None]) -> Callable[[Recorder, Function], Function]:
    """A function of `os` that takes one path and changes the folder that it is in."""

    def make(recorder: Recorder, theirs: Function) -> Function:
        def ours(path: PathLike, *rest: Any, **options: Any) -> Any:
            name = _path_name(recorder, path, options)
            with recorder.turn:
                result = theirs(path, *rest, **options)
                if name is not None:
                    tell(recorder, name)
            return result

        return ours

    return make


def _on_handle(
    tell: Callable[[Recorder, int | str, tuple[Any, ...], Any], None],
) -> Callable[[Recorder, Function], Function]:
    """A function of `os` that takes a file descriptor."""

    def make(recorder: Recorder, theirs: Function) -> Function:
        def ours(handle: Any, *rest: Any) -> Any:
            number = handle if isinstance(handle, int) else handle.fileno()
            if number not in recorder.handles:
                return theirs(handle, *rest)
            with recorder.turn:
                result = theirs(handle, *rest)
                tell(recorder, recorder.handles[number], (number, *rest), result)
            return result

        return ours

    return make


def _renaming(recorder: Recorder, theirs: Function) -> Function:
    def ours(path: PathLike, target: PathLike, **options: Any) -> None:
        names = [recorder.name_of(os.fsdecode(each)) for each in (path, target)]
        with recorder.turn:
            theirs(path, target, **options)
            if names[0] is not None and names[1] is not None:
                recorder.renamed(names[0], names[1])
            else:
                assert names == [None, None], "a file must not move into or out of the recording"

    return ours


def _opening_descriptor(recorder: Recorder, theirs: Function) -> Function:
    def ours(path: PathLike, flags: int, *rest: Any, **options: Any) -> int:
        name = _path_name(recorder, path, options)
        with recorder.turn:
            is_new = name is not None and not os.path.exists(path)
            handle: int = theirs(path, flags, *rest, **options)
            if name is not None:
                _note_handle(recorder, handle, name, flags, is_new=is_new)
        return handle

    return ours


def _note_handle(recorder: Recorder, handle: int, name: str, flags: int, *, is_new: bool) -> None:
    if os.path.isdir(os.path.join(recorder.root, name)):
        recorder.handles[handle] = name
        return
    file = recorder.opened(name, is_new=is_new)
    recorder.handles[handle] = file
    if flags & os.O_TRUNC and not is_new:
        recorder.truncated(file, 0)


def _closing(recorder: Recorder, theirs: Function) -> Function:
    def ours(handle: int) -> None:
        with recorder.turn:
            recorder.handles.pop(handle, None)
            theirs(handle)

    return ours


def _tell_sync(recorder: Recorder, place: int | str, _: tuple[Any, ...], __: None) -> None:
    if isinstance(place, str):
        recorder.folder_synced(place)
    else:
        recorder.synced(place)


def _tell_write(recorder: Recorder, place: int | str, call: tuple[Any, ...], count: int) -> None:
    handle, data = call
    offset = os.lseek(handle, 0, os.SEEK_CUR) - count
    recorder.wrote(int(place), offset, bytes(memoryview(data)[:count]))


def _tell_pwrite(recorder: Recorder, place: int | str, call: tuple[Any, ...], count: int) -> None:
    _, data, offset = call
    recorder.wrote(int(place), offset, bytes(memoryview(data)[:count]))


def _tell_size(recorder: Recorder, place: int | str, call: tuple[Any, ...], _: None) -> None:
    recorder.truncated(int(place), os.fstat(call[0]).st_size)


_OURS: dict[str, Callable[[Recorder, Function], Function]] = {
    "open": _opening_descriptor,
    "close": _closing,
    "write": _on_handle(_tell_write),
    "pwrite": _on_handle(_tell_pwrite),
    "ftruncate": _on_handle(_tell_size),
    "posix_fallocate": _on_handle(_tell_size),
    "fsync": _on_handle(_tell_sync),
    "fdatasync": _on_handle(_tell_sync),
    "rename": _renaming,
    "replace": _renaming,
    "unlink": _on_names(Recorder.unlinked),
    "remove": _on_names(Recorder.unlinked),
    "mkdir": _on_names(Recorder.made_folder),
    "rmdir": _on_names(Recorder.removed_folder),
}


class _ToldFile(io.FileIO):
    """A file that Python opened with `open`, below its buffers."""

    def __init__(self, recorder: Recorder, path: PathLike, mode: str, opener: Any) -> None:
        name = recorder.name_of(os.fsdecode(path))
        assert name is not None
        is_new = not os.path.exists(path)
        super().__init__(os.fspath(path), mode, opener=opener)
        flags = os.O_TRUNC if "w" in mode else 0
        self._recorder, self._handle = recorder, self.fileno()
        if self._handle not in recorder.handles:  # An opener of its own went through os.open.
            _note_handle(recorder, self._handle, name, flags, is_new=is_new)

    def write(self, data: Any) -> int:
        with self._recorder.turn:
            count = super().write(data)
            _tell_write(self._recorder, self._place, (self._handle, data), count)
        return count

    def truncate(self, size: int | None = None) -> int:
        with self._recorder.turn:
            result = super().truncate(size)
            _tell_size(self._recorder, self._place, (self._handle,), None)
        return result

    @property
    def _place(self) -> int | str:
        return self._recorder.handles[self._handle]

    def close(self) -> None:
        if not self.closed:
            self._recorder.handles.pop(self._handle, None)
        super().close()


def _opening(recorder: Recorder, theirs: Function) -> Function:
    def ours(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        writes = any(letter in mode for letter in "wax+")
        if not writes or not closefd or _path_name(recorder, file, {}) is None:
            return theirs(file, mode, buffering, encoding, errors, newline, closefd, opener)
        with recorder.turn:
            raw = _ToldFile(recorder, file, mode.replace("b", "").replace("t", ""), opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)

    return ours
