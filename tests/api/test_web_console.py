"""The page of a console: what its script is told, and how far its policy lets it reach."""

import shutil
import subprocess
from dataclasses import replace
from typing import Any

import orjson
import pytest

from hub.cli.console_position import ConsolePosition
from hub.web.pages import page_routes
from hub.web.static_files import FOLDER
from tests.api.web_html import Html
from tests.api.web_world import Web, page

ADDRESS = "/vms/web/console?node=edge-1"


def connects_to(policy: str) -> set[str]:
    (words,) = (part for part in policy.split("; ") if part.startswith("connect-src "))
    return set(words.split()[1:])


async def test_the_page_is_sound_and_tells_its_script_which_machine_it_is() -> None:
    html = Html(await page(Web(), ADDRESS))
    assert html.problems() == []
    (place,) = html.all("section", id="terminal")
    assert place.get("data-node") == "edge-1"
    assert place.get("data-mode") == "rw"
    scripts = [each.get("src").partition("?")[0] for each in html.all("script")]
    assert scripts[1:] == [
        "/static/vendor/xterm.js",
        "/static/vendor/xterm-addon-fit.js",
        "/static/console_position.js",
        "/static/console.js",
    ]


async def test_it_may_begin_read_only_and_says_from_where_it_moved() -> None:
    html = Html(await page(Web(), f"{ADDRESS}&mode=ro&from=hub-9"))
    (place,) = html.all("section", id="terminal")
    assert (place.get("data-mode"), place.get("data-moved-from")) == ("ro", "hub-9")
    (switch,) = html.all("button", id="terminal-mode")
    assert switch.get("aria-pressed") == "true"


async def test_it_may_ask_the_other_hubs_whether_they_live_and_no_other_page_may() -> None:
    web = Web()
    async with web.client() as client:
        console = (await client.get(ADDRESS)).headers["content-security-policy"]
        other = (await client.get("/hubs")).headers["content-security-policy"]
    assert connects_to(console) == {"'self'", "http://hub", "http://hub-2.example:8470"}
    assert connects_to(other) == {"'self'"}
    assert "unsafe" not in console


async def test_a_hub_with_a_strange_address_gets_into_no_policy() -> None:
    web = Web()
    strange = [
        ("hub-2", "http://x; script-src *"),
        ("hub-3", "http://fine:1/"),
        ("hub-4", "ftp://x"),
    ]
    context = replace(web.context, hubs=lambda: strange)
    web.app.router.routes[:] = web.guard.routes(page_routes(web.script.call, context))
    async with web.client() as client:
        policy = (await client.get(ADDRESS)).headers["content-security-policy"]
    assert connects_to(policy) == {"'self'", "http://fine:1"}
    assert policy.count("script-src") == 1


STORIES: list[list[Any]] = [
    [],
    [5],
    [{"at": 100}, 5, 7],
    [{"at": 100}, {"lost": 50, "at": 155}, 5, 7],
    [{"at": 100}, 5, {"lost": 50, "at": 155}, {"lost": 1, "at": 163}, 7, 2],
    [{"at": 100}, 5, {"at": 0}, 3],
    [{"ended": "x"}, {"at": 1}, {"lost": 0, "at": 9}, 2],
]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js to run the script")
@pytest.mark.parametrize("story", STORIES)
def test_the_script_counts_as_the_command_line_does(story: list[Any]) -> None:
    position, missing = ConsolePosition(), 0
    for each in story:
        if isinstance(each, int):
            missing += position.shown(each)
        else:
            position.hear(each)
    script = (FOLDER / "console_position.js").read_text(encoding="utf-8") + (
        "const position = new ConsolePosition(); let missing = 0;"
        f"for (const each of {orjson.dumps(story).decode()})"
        "  if (Number.isInteger(each)) missing += position.shown(each); else position.hear(each);"
        "console.log(JSON.stringify([position.offset, missing]));"
    )
    ran = subprocess.run(["node", "-"], input=script.encode(), capture_output=True, check=True)
    assert orjson.loads(ran.stdout) == [position.offset, missing]
