"""`headwater rpc`: any method of a hub, for scripts and for looking under the bonnet."""

from typing import Any

import click
import orjson

from hub.cli.ask import Asker, asking
from hub.cli.output import Format, show_list, show_one


def parameter(text: str) -> tuple[str, Any]:
    """KEY=VALUE, VALUE being JSON if it reads as such, else a text; raises click's usage error."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE")
    try:
        return key, orjson.loads(value)
    except orjson.JSONDecodeError:
        return key, value


@click.command()
@click.argument("method")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait.")
@asking
def rpc(asker: Asker, /, method: str, words: tuple[str, ...], timeout: float) -> None:
    """Call METHOD. A VALUE that is JSON is sent as such: limit=10, nodes='["edge-1"]'."""
    answer = asker.ask(method, dict(map(parameter, words)), timeout_seconds=timeout)
    held = answer if isinstance(answer, dict) else {"result": answer}
    form: Format = "json" if asker.form == "table" else asker.form
    if form == "ndjson" and "items" in held:
        show_list(form, held, held["items"], ())
    else:
        show_one(form, held)
