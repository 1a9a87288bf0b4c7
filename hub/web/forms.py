"""Reading what a form sends: bounded, URL-encoded, and made by one of our own pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request

from hub.bodies import read_body
from hub.web.context import WebContext
from shared.errors import BadInput, Refused, UnsupportedType
from shared.records import KIB

FORM_BYTES_MAX = 64 * KIB
FIELDS_MAX = 50
MEDIA_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; of fields with the same name, the last."""

    fields: Mapping[str, str]

    def one(self, name: str) -> str:
        """A field without the spaces around it, empty when it is not there."""
        return self.fields.get(name, "").strip()


async def read_form(request: Request) -> Form:
    """The form in a request; raises UnsupportedType, TooLarge or BadInput."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise UnsupportedType(f"the content type of a form is {MEDIA_TYPE}")
    body = await read_body(request, FORM_BYTES_MAX)
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "strict"), keep_blank_values=True, max_num_fields=FIELDS_MAX
        )
    except ValueError as error:
        raise BadInput(f"the form cannot be read: {error}") from error
    return Form(dict(pairs))


async def read_own_form(request: Request, context: WebContext) -> Form:
    """A form of this session's pages; raises Refused when it comes from elsewhere."""
    form = await read_form(request)
    if not context.csrf_ok(request, form.one("csrf")):
        raise Refused(
            "this form does not belong to your session: go back, load the page anew, and send it again"
        )
    return form
