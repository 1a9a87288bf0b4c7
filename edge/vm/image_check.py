"""Looks at a file that is to become an image: first with our own eyes, then with qemu-img, which
gets little time and memory since the file may be made to harm it. Blocking."""

import json
import subprocess
from pathlib import Path

from edge.vm.image_format import HEAD_BYTES, judge_format, judge_info
from edge.vm.image_model import ImageFormat
from shared.errors import BadInput, RpcError

DISKS = (ImageFormat.RAW, ImageFormat.QCOW2)
INFO_SECONDS_MAX = 30
CPU_SECONDS_MAX = 10
MEMORY_KIB_MAX = 1024 * 1024
OUTPUT_BYTES_MAX = 1024 * 1024
INSTALL_HINT = "apt-get install --no-install-recommends qemu-utils"
# No shell of the caller's words: the path comes in as an argument, and is absolute.
_LIMITED = 'ulimit -t "$1"; ulimit -v "$2"; ulimit -c 0; shift 2; exec "$@"'


def look(
    path: Path, size_bytes: int, claimed: ImageFormat | None
) -> tuple[ImageFormat, int | None]:
    """The format of a file and the size of the disk in it.

    Raises RpcError invalid_params with the reason why it is refused, and driver_unavailable when
    qemu-img is needed and missing: without it only our own eyes have seen a qcow2 file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        found, virtual_bytes = judge_format(head, size_bytes, claimed)
        if found in DISKS:
            _ask_qemu(path.absolute(), found, virtual_bytes)
    except BadInput as error:
        raise RpcError("invalid_params", str(error), {"reason": "format"}) from error
    return found, virtual_bytes


def _ask_qemu(path: Path, found: ImageFormat, virtual_bytes: int | None) -> None:
    # A raw file is probed: what we took for raw bytes must be nothing else to QEMU either.
    words = ["-f", "qcow2"] if found is ImageFormat.QCOW2 else []
    said = _limited(["qemu-img", "info", "-U", *words, "--output=json", str(path)])
    if said is None:
        if found is ImageFormat.RAW:
            return  # Raw bytes are read as such whatever they hold, so nothing depends on it.
        hint = {"hint": INSTALL_HINT}
        raise RpcError("driver_unavailable", "qemu-img is not installed on this node", hint)
    try:
        judge_info(json.loads(said), found, virtual_bytes)
    except (ValueError, RecursionError) as error:
        raise BadInput("qemu-img said nothing that can be read") from error


def _limited(argv: list[str]) -> bytes | None:
    """The output of a program, None when it is not installed; raises BadInput when it fails."""
    limits = [str(CPU_SECONDS_MAX), str(MEMORY_KIB_MAX)]
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", _LIMITED, "sh", *limits, *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INFO_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"qemu-img did not read the image within {INFO_SECONDS_MAX} s") from error
    except OSError as error:
        raise RpcError("driver_error", f"qemu-img cannot be run: {error}") from error
    if done.returncode in (126, 127):
        return None
    if done.returncode or len(done.stdout) > OUTPUT_BYTES_MAX:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise BadInput(f"qemu-img cannot read the image: {said or f'status {done.returncode}'}")
    return done.stdout
