"""The page about settings, rendered from what a real book answers."""

from typing import Any

from starlette.datastructures import QueryParams

from hub.conf.drift import DriftState
from hub.conf.section import Section
from hub.web.address import Asked
from hub.web.conf_pages import MARKS, SETTINGS, WORDS
from hub.web.desk import environment
from shared.conf import EMPTY_HASH, Document
from shared.conf_report import Report
from tests.unit.conf.world import World

ASKED = Asked("/config", {}, QueryParams())


async def page_of(world: World) -> str:
    """The page as a hub would show it."""
    call = SETTINGS.main(ASKED)
    methods = {
        "config.get": world.methods.get,
        "config.history": world.methods.history,
        "config.drift": world.methods.show_drift,
    }
    extras = {
        name: await methods[each.method](each.params)
        for name, each in SETTINGS.extras(ASKED).items()
    }
    return render(await methods[call.method](call.params), extras)


def render(answer: Any, extras: Any, failure: Any = None) -> str:
    """The template with the variables that pages have."""
    shaped = SETTINGS.shape(ASKED, answer, extras)
    template = environment().get_template(SETTINGS.template)
    frame = {"hub_id": "hub-1", "answer": answer, "asked": ASKED, "other_hubs": []}
    return template.render({**frame, **shaped, "failure": failure})


async def test_settings_history_and_drift_are_on_one_page() -> None:
    world = World()
    for node in ("n1", "n2"):
        world.drift.note(node, {"role": "web"}, Report(EMPTY_HASH), 1)
    await world.methods.set(
        {"settings": {"log_level": "debug"}, "labels": {"role": "web"}, "author": "ann"}
    )
    await world.methods.set({"settings": {"keep_logs_days": 30}, "author": "bob"})
    await world.methods.unset({"keys": ["keep_logs_days"], "author": "bob"})
    wanted = Document({"log_level": "debug"}).hash
    world.drift.note("n2", {"role": "web"}, Report(EMPTY_HASH, wanted, "no <such> level"), 1)
    text = await page_of(world)
    assert "least severe line to log" in text
    assert '<span class="tag">role=web</span>' in text
    assert "1 refused" in text
    assert "1 behind" in text
    assert "no &lt;such&gt; level" in text
    assert "unset</span>" in text
    assert "through hub-1" in text


async def test_a_cluster_without_settings_says_how_to_begin() -> None:
    text = await page_of(World())
    assert "Nothing is set for the whole cluster" in text
    assert "Nobody has changed anything yet." in text
    assert "No edge has been heard yet." in text


async def test_what_is_not_applied_and_what_was_put_aside_are_shown() -> None:
    world = World()
    world.write("groups:blue", "colour", {"deep": ["<b>"]})
    world.book.take(Section("hub-2#1", "h", 1, 1, 0, 1, "", 0, ["no entry"]), "hub-2")
    text = await page_of(world)
    assert "Not applied by this hub" in text
    assert "of another version" in text
    assert "Put aside" in text
    assert "<b>" not in text


def test_without_the_extras_the_settings_are_shown_all_the_same() -> None:
    failed = {"error": {"kind": "internal", "message": "no"}}
    text = render({"items": [], "known": []}, {"history": failed, "drift": failed})
    assert "How the edges stand cannot be had now." in text


def test_every_state_has_a_mark_and_words() -> None:
    assert set(MARKS) == set(WORDS) == set(map(str, DriftState))
