"""Logging in with the admin token, by form or by the link that a hub prints at its start."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.web.desk import SECURITY_HEADERS, Desk
from hub.web.forms import read_form, read_own_form
from hub.web.static_files import static_files

COOKIE_SECONDS = 12 * 3600
TOKEN_CHARS_MAX = 500


@cache
def _styles() -> tuple[str, str]:
    """The styles, and the policy that allows them within the page: nothing else is open here."""
    styles = static_files()["app.css"].body.decode()
    # What a browser hashes is the text between the tags, exactly.
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    policy = SECURITY_HEADERS["content-security-policy"]
    return styles, policy.replace("style-src 'self'", f"style-src 'sha256-{digest}'")


@dataclass(frozen=True, slots=True)
class Login:
    """The doors in and out."""

    desk: Desk

    async def endpoint(self, request: Request) -> Response:
        """GET and POST /login; a right token sets the cookie and leads to `next`."""
        if request.method == "POST":
            form = await read_form(request)
            return self._enter(request, form.one("token"), form.one("next"))
        token, target = request.query_params.get("token"), request.query_params.get("next", "")
        if token is None:
            return self._form(target)
        return self._enter(request, token.strip(), target)

    def _enter(self, request: Request, token: str, target: str) -> Response:
        cookie = self.desk.context.check_login(token) if len(token) <= TOKEN_CHARS_MAX else None
        if cookie is None:
            said = "This is not the admin token of this hub." if token else "The token is missing."
            return self._form(target, said, 403)
        # The address with the token must not stay in the history or in anybody's log.
        answer = RedirectResponse(safe_target(target), 303, {"cache-control": "no-store"})
        answer.headers["referrer-policy"] = SECURITY_HEADERS["referrer-policy"]
        answer.set_cookie(
            self.desk.context.session_cookie,
            cookie,
            max_age=COOKIE_SECONDS,
            httponly=True,
            # Not strict: a link in a message to a page of ours should find the person logged in.
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    def _form(self, target: str, said: str = "", status: int = 200) -> Response:
        styles, policy = _styles()
        variables = {
            "hub_id": self.desk.context.hub_id,
            "styles": styles,
            "target": safe_target(target),
            "said": said,
        }
        return self.desk.html("login.html", variables, status, policy)

    async def leave(self, request: Request) -> Response:
        """POST /logout: forget the session in this browser."""
        await read_own_form(request, self.desk.context)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(self.desk.context.session_cookie, httponly=True, samesite="lax")
        return answer


def safe_target(target: str) -> str:
    """Where to go after the login: a page of this hub, whatever the address said."""
    if not target.startswith("/") or target.startswith("//"):
        return "/"
    if "\\" in target or not target.isprintable():
        return "/"  # Browsers take a backslash for a slash, and leave out tabs and line ends.
    path = target.partition("?")[0].partition("#")[0]
    return "/" if path in ("/login", "/logout") else target
