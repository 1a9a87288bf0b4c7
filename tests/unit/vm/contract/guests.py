"""Guests of a few bytes that misbehave, as boot sectors, and a store that holds one of them."""

from pathlib import Path

RESETS_FOR_EVER = bytes.fromhex("b006baf90ceeebfe")
"""mov al,6; mov dx,0xcf9; out dx,al; jmp $"""

DISK_BYTES = 2**20
"""What the firmware takes for a disk at least."""

BLOCK_BYTES = 2**16
"""How much a guest prints at a stroke."""


WHEN_READY = "bafd03eca82074fbbaf803"
"""mov dx,0x3fd; again: in al,dx; test al,0x20; jz again; mov dx,0x3f8: what is sent sooner is lost."""


def prints(blocks: int) -> bytes:
    """mov bx,blocks; block: xor cx,cx; one: WHEN_READY; mov al,'x'; out dx,al; loop one; dec bx;
    jnz block; WHEN_READY; mov al,'!'; out dx,al; hlt; jmp $-1"""
    head = b"\xbb" + blocks.to_bytes(2, "little")
    code = f"31c9{WHEN_READY}b078eee2f04b75eb{WHEN_READY}b021eef4ebfd"
    return head + bytes.fromhex(code)


class OneImage:
    """A store with one image, `odd`."""

    def __init__(self, path: Path, code: bytes) -> None:
        self._path = path
        path.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa" + bytes(DISK_BYTES - 512))

    def names(self) -> tuple[str, ...]:
        return ("odd",)

    def path_of(self, name: str) -> Path:
        return self._path

    def format_of(self, name: str) -> str:
        return "raw"
