"""The spec of a machine as fields of a form, and what of it a person changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.web.forms import Form
from hub.web.vm_words import mib_of, pairs_of
from shared.errors import RpcError

JSON_CHARS_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class SpecField:
    """One field of the form. `kind` says how it is read; `choices` make it a choice."""

    name: str
    label: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    hint: str = ""
    value: str = ""


FIELDS = (
    SpecField("name", "Name"),
    SpecField("description", "Description"),
    SpecField("cpus", "Processors", "whole"),
    SpecField("memory_mib", "Memory", "size", hint="512M or 2G"),
    SpecField("labels", "Labels", "labels", hint="site=north role=web"),
    SpecField("restart", "Restart", "choice", ("never", "on-failure", "always")),
    SpecField("restart_max", "Restarts at most", "whole"),
    SpecField("autostart", "Start with its host", "choice", ("last", "always", "never")),
    SpecField("start_order", "Order of starts", "whole", hint="lower ones first"),
    SpecField("stop_timeout_s", "Seconds to stop in", "number"),
    SpecField("on_host_shutdown", "When its host ends", "choice", ("stop", "force", "leave")),
    SpecField("protected", "Delete", "protected", ("allowed", "refused")),
)


def spec_fields(vm: Mapping[str, Any]) -> list[SpecField]:
    """The fields with what the spec says now; none where the spec is not known."""
    spec = vm.get("spec")
    if not isinstance(spec, Mapping):
        return []
    return [
        SpecField(
            each.name,
            each.label,
            each.kind,
            each.choices,
            each.hint,
            _text(each, spec.get(each.name)),
        )
        for each in FIELDS
    ]


def _text(field: SpecField, value: Any) -> str:
    if field.kind == "protected":
        return "refused" if value else "allowed"
    if field.kind == "choice":
        return str(value or field.choices[0])
    if field.kind == "labels":
        held = value if isinstance(value, Mapping) else {}
        return " ".join(f"{key}={text}" for key, text in held.items())
    if field.kind == "size":
        return f"{value}M" if isinstance(value, int) else ""
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)


def patch_of(form: Form) -> dict[str, Any]:
    """The fields that differ from what the page had shown (`was.NAME`), and those that were written
    as JSON. Raises RpcError invalid_params."""
    changed = [each for each in FIELDS if each.name in form.fields and _is_changed(form, each)]
    patch = {each.name: _value(each, form.one(each.name)) for each in changed}
    patch |= _written(form.one("json"))
    if not patch:
        raise RpcError("invalid_params", "Nothing was changed.")
    return patch


def _is_changed(form: Form, field: SpecField) -> bool:
    return form.one(field.name) != form.one(f"was.{field.name}")


def _value(field: SpecField, text: str) -> Any:
    if field.kind == "protected":
        return text == "refused"
    if field.kind == "labels":
        return pairs_of(text.split(), "labels")
    if field.kind == "size":
        return mib_of(text, field.name) if text else None
    if field.kind in ("whole", "number"):
        return _number(field, text)
    return text


def _number(field: SpecField, text: str) -> int | float:
    try:
        return int(text[:40]) if field.kind == "whole" else float(text[:40])
    except ValueError as error:
        message = f"{field.label}: {text[:60]!r} is not a number"
        raise RpcError("invalid_params", message, {"parameter": field.name}) from error


def _written(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = orjson.loads(text[:JSON_CHARS_MAX])
    except orjson.JSONDecodeError as error:
        raise RpcError("invalid_params", f"Other fields: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise RpcError(
            "invalid_params", 'Other fields: write an object, such as {"start_order": 2}'
        )
    return found
