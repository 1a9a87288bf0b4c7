"""`headwater image`: what machines are made from, on each node."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, finish, moment, say, show_list, show_one, size
from hub.cli.vm_flags import carry_out, give_order, request_flags, tell_end
from hub.machines.faults import RETRYABLE
from shared.errors import HeadwaterError, RpcError, Unreachable

PIECE_BYTES = 1024 * 1024
"""The most that a node takes at once."""

MAY_HAVE_BEGUN = RETRYABLE | {"no_path"}
"""Any other answer to its beginning is a refusal: nothing is there to go on with."""

IMAGE_COLUMNS = (
    Column("IMAGE", "name"),
    Column("FORMAT", "format"),
    Column("SIZE", "size_bytes", size),
    Column("DISK", "virtual_bytes", size),
    Column("USED BY", "used_by"),
    Column("CREATED", "created_at", moment),
    Column("SHA256", "sha256"),
)
DRIVER_COLUMNS = (
    Column("DRIVER", "name"),
    Column("HEALTHY", "healthy"),
    Column("VERSION", "version"),
    Column("BY", "accel"),
    Column("ISOLATION", "isolation"),
    Column("IMAGES", "images"),
    Column("WHY", "why"),
    Column("HINT", "hint"),
)

node_argument = click.argument("node", metavar="NODE")
name_argument = click.argument("name", metavar="IMAGE")
hash_flag = click.option("--sha256", help="The hash that it must have.")
format_flag = click.option("--format", "form_wanted", help="Refuse it when it is another format.")


@click.group()
def image() -> None:
    """List, bring or delete the images of a node, and see what can run there."""


@image.command("list")
@node_argument
@asking
def list_(asker: Asker, /, node: str) -> None:
    """List the images that people brought to a node; `image drivers` also names built-in ones.

    \b
    headwater image list edge-1
    """
    answer = asker.ask("image.list", {"node": node})
    show_list(asker.form, answer, answer["items"], IMAGE_COLUMNS)
    finish(answer, len(answer["items"]))


@image.command("drivers")
@node_argument
@asking
def drivers(asker: Asker, /, node: str) -> None:
    """Show what can run on a node, which images it has for it, and why something cannot.

    \b
    headwater image drivers edge-1
    """
    answer = asker.ask("node.drivers", {"node": node})
    show_list(asker.form, answer, answer["drivers"], DRIVER_COLUMNS)


@image.command("import")
@node_argument
@name_argument
@click.option("--path", help="A file on the node, in a folder that its settings allow.")
@click.option("--url", help="An address that its settings allow; needs --sha256.")
@hash_flag
@format_flag
@request_flags
@asking
def import_(asker: Asker, /, path: str | None, url: str | None, **given: Any) -> None:
    """Bring an image to a node from a path there or a URL.

    \b
    headwater image import edge-1 debian-12 --path /srv/images/debian-12.qcow2
    headwater image import edge-1 debian-12 --url https://example.org/d.qcow2 --sha256 HASH
    """
    if (path is None) == (url is None):
        raise click.UsageError("say where it comes from: --path or --url, one of the two")
    source = {"path": path} if path else {"url": url}
    form = given.pop("form_wanted")
    give_order(asker, "image.import", {**given, "format": form, "source": source})


@image.command("upload")
@node_argument
@name_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--resume", "upload", help="Go on with an upload that was interrupted, by its id.")
@format_flag
@click.option("--wait", "wait_s", type=click.FloatRange(0, 3600), default=600.0, hidden=True)
@asking
def upload_(
    asker: Asker,
    /,
    node: str,
    name: str,
    file: Path,
    upload: str | None,
    form_wanted: str | None,
    wait_s: float,
) -> None:
    """Bring a file of this machine to a node, piece by piece.

    \b
    headwater image upload edge-1 debian-12 ./debian-12.qcow2
    """
    wish: dict[str, Any] = {
        "node": node,
        "name": name,
        "upload": upload or f"cli-{secrets.token_hex(8)}",
    }
    wish |= {"size_bytes": file.stat().st_size}
    if not wish["size_bytes"]:
        raise click.UsageError(f"{file} is empty")
    again = f"to go on: headwater image upload {node} {name} {file} --resume {wish['upload']}"
    sha256 = _send(asker, wish, file, again)
    end = {**wish, "offset": wish["size_bytes"], "sha256": sha256, "format": form_wanted}
    operation = carry_out(asker, "image.upload", {**end, "wait_s": wait_s, "request_id": _id(wish)})
    show_one(asker.form, operation)
    tell_end(operation)


def _id(wish: Mapping[str, Any]) -> str:
    """Ending an upload twice is ending it once."""
    return f"{wish['upload']}-end"


def _send(asker: Asker, wish: Mapping[str, Any], file: Path, again: str) -> str:
    """Send all pieces; returns the hash of the file as it was read. Says how to go on after a
    failure, unless the node refused to begin."""
    try:
        done = _have(asker, wish)
    except HeadwaterError as error:
        if isinstance(error, Unreachable) or getattr(error, "kind", "") in MAY_HAVE_BEGUN:
            say(again)
        raise
    try:
        return _send_from(asker, wish, file, done)
    except HeadwaterError:
        say(again)
        raise


def _send_from(asker: Asker, wish: Mapping[str, Any], file: Path, done: int) -> str:
    hashed, told = hashlib.sha256(), 0
    with file.open("rb") as source:
        offset = 0
        while piece := source.read(PIECE_BYTES):
            hashed.update(piece)
            fresh = piece[max(0, done - offset) :]
            if fresh:
                start = offset + len(piece) - len(fresh)
                data = base64.b64encode(fresh).decode()
                asker.ask(
                    "image.upload", {**wish, "offset": start, "data": data}, keeping=("offset",)
                )
            offset += len(piece)
            percent = 100 * offset // int(wish["size_bytes"])
            if percent >= told + 10:
                told = percent
                say(f"{size(offset)} of {size(wish['size_bytes'])} ({percent} %)")
    return hashed.hexdigest()


def _have(asker: Asker, wish: Mapping[str, Any]) -> int:
    """How much of it is there already; begins the upload where it is new."""
    try:
        begun = asker.ask("image.upload", {**wish, "offset": 0}, keeping=("offset",))
    except RpcError as error:
        if error.kind == "conflict" and isinstance(error.data.get("offset"), int):
            return int(error.data["offset"])
        raise
    return int(begun["offset"])


@image.command("delete")
@node_argument
@name_argument
@click.option("--force", is_flag=True, help="Forget disks that were kept of deleted machines.")
@request_flags
@asking
def delete(asker: Asker, /, **given: Any) -> None:
    """Remove an image from a node; refused while a machine is made from it.

    \b
    headwater image delete edge-1 debian-12
    """
    give_order(asker, "image.delete", given)
