"""The page about hubs says which ones people sent away, and how one comes back."""

from tests.api.test_web_telemetry import plain
from tests.api.web_world import Web, page


async def test_removed_hubs_are_listed_with_who_why_and_the_way_back() -> None:
    """What people wrote is shown as they wrote it, and never taken for markup."""
    web = Web()
    gone = {"hub": "hub-3", "through": "hub-2", "at": None, "why": "<b>sold</b>"}
    web.script.answers["hub.status"] = {**web.script.answers["hub.status"], "removed_hubs": [gone]}
    html = await page(web, "/hubs")
    assert "<b>sold</b>" not in html
    text = plain(html)
    for words in ("Removed hubs", "hub-3", "hub-2", "headwater peers admit hub-3"):
        assert words in text


async def test_a_setting_that_names_a_removed_hub_is_shown() -> None:
    web = Web()
    gone = {"hub": "hub-3", "through": "hub-2", "at": None, "why": "", "urls": ["http://a:1"]}
    web.script.answers["hub.status"] = {**web.script.answers["hub.status"], "removed_hubs": [gone]}
    text = plain(await page(web, "/hubs"))
    assert "The settings of this hub name hub-3 still, at http://a:1." in text


async def test_nothing_is_said_of_removed_hubs_when_there_are_none() -> None:
    assert "Removed hubs" not in await page(Web(), "/hubs")
