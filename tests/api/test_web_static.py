"""The static files: unchanged copies of what others wrote, and nothing served that is not listed."""

import base64
import hashlib
import json
import re

import pytest

from hub.web.static_files import FOLDER, address_of, static_files
from tests.api.web_html import Html
from tests.api.web_world import Web

VENDOR = FOLDER / "vendor"


def test_vendored_files_are_those_of_the_manifest() -> None:
    named = set()
    for package in json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8")):
        assert package["license"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        for name, expected in package["files"].items():
            digest = hashlib.sha384((VENDOR / name).read_bytes()).digest()
            assert f"sha384-{base64.b64encode(digest).decode()}" == expected, name
            named.add(name)
        assert any("LICENSE" in name for name in package["files"])
    assert named | {"manifest.json"} == {path.name for path in VENDOR.iterdir()}


def test_every_file_has_a_type_that_is_served() -> None:
    held = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert held == set(static_files())


@pytest.mark.parametrize("name", sorted(static_files()))
async def test_a_file_is_served_whole_packed_and_only_once(name: str) -> None:
    async with Web().client() as client:
        plain = await client.get(address_of(name), headers={"accept-encoding": "identity"})
        packed = await client.get(address_of(name), headers={"accept-encoding": "gzip"})
        known = {"if-none-match": plain.headers["etag"]}
        again = await client.get(address_of(name), headers=known)
    assert plain.content == packed.content == (FOLDER / name).read_bytes()
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in plain.headers["cache-control"]
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/static/", "/static/../pages.py", "/static/%2e%2e/pages.py", "/static/app.py"]
)
async def test_nothing_else_is_served(path: str) -> None:
    async with Web().client() as client:
        assert (await client.get(path)).status_code == 404


async def test_pages_load_only_files_that_are_there() -> None:
    addresses = {address_of(name) for name in static_files()}
    async with Web().client() as client:
        html = Html((await client.get("/charts?name=a")).text)
    loaded = [e.get("src") for e in html.all("script")] + [e.get("href") for e in html.all("link")]
    drawn = [e.get("href").partition("#") for e in html.all("use")]
    assert set(loaded) <= addresses
    for address, _, symbol in drawn:
        name = next(name for name in static_files() if address_of(name) == address)
        assert f'id="{symbol}"' in static_files()[name].body.decode()


def test_our_scripts_need_no_exception_from_the_policy() -> None:
    for name in ("app.js", "chart.js"):
        source = static_files()[name].body.decode()
        assert not re.search(
            r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", source
        )
        assert "http://" not in source
        assert "https://" not in source
