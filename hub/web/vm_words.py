"""Sizes, disks, ports and labels of machines as people write them, on pages and on the command line.

Each raises RpcError invalid_params that says how it is written.
"""

from collections.abc import Iterable
from typing import Any

from shared.errors import RpcError

SIZES = {"": 1, "M": 1, "MIB": 1, "G": 1024, "GIB": 1024, "T": 1024 * 1024, "TIB": 1024 * 1024}
DIGITS_MAX = 12


def mib_of(text: str, name: str) -> int:
    """A size in MiB: `512`, `512M` or `2G`."""
    number = text.strip().rstrip("MGTIBmgtib ")
    unit = text.strip()[len(number) :].strip().upper()
    if not number.isdecimal() or len(number) > DIGITS_MAX or unit not in SIZES:
        raise _wrong(name, text, "a size, such as 512M or 2G")
    return int(number) * SIZES[unit]


def disk_of(text: str) -> dict[str, Any]:
    """A disk: `NAME[:SIZE][:image=IMAGE][:ro]`."""
    name, _, rest = text.partition(":")
    before, sign, image = rest.partition("image=")  # An image's name may have colons itself.
    words = [word for word in before.split(":") if word]
    disk: dict[str, Any] = {"name": name}
    if sign:
        disk["image"] = image.removesuffix(":ro")
        words += ["ro"] * image.endswith(":ro")
    for word in words:
        if word == "ro":
            disk["readonly"] = True
        else:
            disk["size_mib"] = mib_of(word, "disks")
    return disk


def port_of(text: str) -> dict[str, Any]:
    """A port: `[BIND:][HOST:]GUEST[/udp]`."""
    ways, _, proto = text.partition("/")
    words = ways.rsplit(":", 2)
    are_ports = all(word.isdecimal() and len(word) < 6 for word in words[-2:])
    if proto not in ("", "tcp", "udp") or not are_ports:
        raise _wrong("ports", text, "a port, such as 80, 8080:80 or 5353:53/udp")
    port: dict[str, Any] = {"guest": int(words[-1]), "proto": proto or "tcp"}
    if len(words) > 1:
        port["host"] = int(words[-2])
    if len(words) > 2:
        port["bind"] = words[0].strip("[]")
    return port


def pairs_of(texts: Iterable[str], name: str) -> dict[str, str]:
    """Labels or variables: each `key=value`."""
    split = [text.partition("=") for text in texts]
    wrong = next((key for key, sign, _ in split if not key or not sign), None)
    if wrong is not None:
        raise _wrong(name, wrong, "of the form key=value")
    return {key: value for key, _, value in split}


def _wrong(name: str, text: str, wanted: str) -> RpcError:
    return RpcError("invalid_params", f"{name}: {text[:60]!r} is not {wanted}", {"parameter": name})
