"""Keys by their names, for whoever types into a console without a terminal. Rules only."""

from collections.abc import Mapping
from typing import Any

from hub import params
from hub.machines.params import TypeIntoMachine
from shared.errors import RpcError

ESCAPE = "\x1b"

KEYS: Mapping[str, str] = {
    "enter": "\r",
    "tab": "\t",
    "escape": ESCAPE,
    "space": " ",
    "backspace": "\x7f",
    "delete": f"{ESCAPE}[3~",
    "up": f"{ESCAPE}[A",
    "down": f"{ESCAPE}[B",
    "right": f"{ESCAPE}[C",
    "left": f"{ESCAPE}[D",
    "home": f"{ESCAPE}[H",
    "end": f"{ESCAPE}[F",
    "page-up": f"{ESCAPE}[5~",
    "page-down": f"{ESCAPE}[6~",
    **{f"ctrl-{chr(letter)}": chr(letter - 96) for letter in range(ord("a"), ord("z") + 1)},
}
"""What a terminal of the kind xterm sends for each."""


def send_params(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of vm.console.send with the text of a key that is named; raises RpcError
    invalid_params."""
    given = {name: value for name, value in raw.items() if value not in (None, "")}
    wanted: TypeIntoMachine = params.read(TypeIntoMachine, given)
    if (wanted.data is None) == (wanted.key is None):
        raise RpcError("invalid_params", "say what to type by data or by key: one of the two")
    if wanted.key is None:
        return given
    data = KEYS.get(wanted.key.lower())
    if data is None:
        known = "ctrl-a to ctrl-z, " + ", ".join(each for each in KEYS if "ctrl-" not in each)
        raise RpcError("invalid_params", f"no key is called {wanted.key!r}: there are {known}")
    return {name: value for name, value in given.items() if name != "key"} | {"data": data}
