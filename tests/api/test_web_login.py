"""Logging in and out: by form, by the link that a hub prints, and never to another site."""

import base64
import hashlib
import re
from http.cookies import SimpleCookie

import pytest

from hub.web.login import safe_target
from tests.api.web_html import Html
from tests.api.web_world import TOKEN, Web


async def test_the_link_of_the_hub_logs_in_and_leaves_no_token_in_the_address() -> None:
    web = Web()
    async with web.client(logged_in=False) as client:
        answer = await client.get("/login", params={"token": TOKEN})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert (await client.get("/")).status_code == 200


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    async with Web().client(logged_in=False) as client:
        answer = await client.post("/login", data={"token": TOKEN})
        secure = await client.post("https://hub/login", data={"token": TOKEN})
    cookie = SimpleCookie(answer.headers["set-cookie"])["headwater-hub-1"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie["path"] == "/"
    assert TOKEN not in cookie.value
    assert not cookie["secure"]
    assert SimpleCookie(secure.headers["set-cookie"])["headwater-hub-1"]["secure"]


async def test_a_person_who_was_led_to_the_login_is_led_back() -> None:
    web = Web()
    async with web.client(logged_in=False) as client:
        led = await client.get("/logs?text=a&node=edge-1")
        form = await client.get(led.headers["location"])
        (target,) = Html(form.text).all("input", name="next")
        answer = await client.post("/login", data={"token": TOKEN, "next": target.get("value")})
    assert answer.headers["location"] == "/logs?text=a&node=edge-1"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "x" * 5000, "ä\ud7ff"])
async def test_a_wrong_token_is_refused_in_words(token: str) -> None:
    web = Web()
    async with web.client(logged_in=False) as client:
        for answer in (
            await client.post("/login", data={"token": token}),
            await client.get("/login", params={"token": token}),
        ):
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
            assert "token" in answer.text
            assert Html(answer.text).problems() == []


@pytest.mark.parametrize(
    ("target", "safe"),
    [
        ("/logs?text=a", "/logs?text=a"),
        ("/nodes/edge-1", "/nodes/edge-1"),
        ("", "/"),
        ("logs", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("///evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("//[", "/"),
        ("\\\\evil.example/", "/"),
        ("/\t/evil.example", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        ("javascript:alert(1)", "/"),
        ("/login?next=/login", "/"),
        ("/logout", "/"),
    ],
)
async def test_the_login_leads_to_pages_of_this_hub_only(target: str, safe: str) -> None:
    assert safe_target(target) == safe
    async with Web().client(logged_in=False) as client:
        answer = await client.get("/login", params={"token": TOKEN, "next": target})
    assert answer.headers["location"] == safe


async def test_the_login_page_needs_nothing_else_from_the_hub() -> None:
    """Everything but this page is shut, so its styles are inside, allowed by their hash."""
    async with Web().client(logged_in=False) as client:
        answer = await client.get("/login")
    html = Html(answer.text)
    assert html.problems() == []
    assert not [each for each in html.elements if each.get("src")]
    assert [each.get("href") for each in html.all("link")] == ["data:,"]
    (styles,) = html.all("style")
    digest = base64.b64encode(hashlib.sha256(styles.text.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search("</|<!--", styles.text)


async def test_whoever_logs_out_is_out() -> None:
    web = Web()
    async with web.client() as client:
        (token, *_) = Html((await client.get("/")).text).all("input", name="csrf")
        answer = await client.post("/logout", data={"csrf": token.get("value")})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login"
        assert SimpleCookie(answer.headers["set-cookie"])["headwater-hub-1"]["max-age"] == "0"
