"""`headwater image upload`: piece by piece, and what is said when it ends in the middle."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from shared.errors import HeadwaterError, RpcError
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_vm_commands import DONE, Hubs, error


def test_an_image_is_uploaded_in_pieces_and_ended_by_its_hash(
    hubs: Hubs, headwater: Run, tmp_path: Path
) -> None:
    """Going on where an earlier try ended."""
    content = bytes(range(256)) * 9000
    (tmp_path / "disk").write_bytes(content)
    held = bytearray(content[:1_500_000])

    def take(asked: dict[str, Any]) -> dict[str, Any]:
        data = base64.b64decode(asked.get("data", ""))
        if "sha256" in asked:
            return (
                DONE if asked["sha256"] == hashlib.sha256(held).hexdigest() else error("conflict")
            )
        if asked["offset"] != len(held):
            return error("conflict", offset=len(held))
        held.extend(data)
        return {"offset": len(held), "upload": asked["upload"]}

    hubs[0].answers["image.upload"] = take
    words = ("image", "upload", "n", "i", str(tmp_path / "disk"), "--resume", "upload-1")
    result = headwater(*words)
    assert result.exit_code == 0, result.output
    assert bytes(held) == content
    assert {asked["upload"] for _, asked in hubs[0].asked} == {"upload-1"}


@pytest.mark.parametrize("kind", ["insufficient", "quota", "invalid_params", "conflict"])
def test_an_upload_that_was_never_begun_is_not_told_to_go_on(
    hubs: Hubs, headwater: Run, tmp_path: Path, kind: str
) -> None:
    """Of a file that is too large, or under a name that is taken, nothing is there."""
    (tmp_path / "disk").write_bytes(b"x" * 100)
    hubs[0].answers["image.upload"] = error(kind)
    result = headwater("image", "upload", "n", "i", str(tmp_path / "disk"))
    assert isinstance(result.exception, RpcError)
    assert "--resume" not in result.output


@pytest.mark.parametrize("answer", [error("no_path"), error("outcome_unknown"), 503])
def test_an_upload_whose_beginning_was_lost_can_go_on(
    hubs: Hubs, headwater: Run, tmp_path: Path, answer: Any
) -> None:
    """It may have begun."""
    (tmp_path / "disk").write_bytes(b"x" * 100)
    for hub in hubs:
        hub.answers["image.upload"] = answer
    result = headwater("image", "upload", "n", "i", str(tmp_path / "disk"))
    assert isinstance(result.exception, HeadwaterError)
    assert "--resume cli-" in result.stderr


def test_an_upload_that_ends_in_the_middle_can_go_on(
    hubs: Hubs, headwater: Run, tmp_path: Path
) -> None:
    """When there is room again, what was sent is still there."""
    (tmp_path / "disk").write_bytes(b"x" * 100)

    def take(asked: dict[str, Any]) -> dict[str, Any]:
        return error("insufficient") if asked.get("data") else {"offset": 0}

    hubs[0].answers["image.upload"] = take
    result = headwater("image", "upload", "n", "i", str(tmp_path / "disk"))
    assert isinstance(result.exception, RpcError)
    assert "--resume cli-" in result.stderr
