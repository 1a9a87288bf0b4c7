"""The page that makes a machine: its fields, the spec they mean, and problems beside the fields."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hub.web.address import Asked, Field, read
from hub.web.forms import Form
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import NODES_TO_CHOOSE
from hub.web.vm_words import disk_of, mib_of, pairs_of, port_of
from shared.errors import RpcError

USUAL: Mapping[str, str] = {"cpus": "1", "restart": "never", "autostart": "last", "start": "1"}
CLOUD = ("user_data", "meta_data", "network")
FIELD_OF_PATH = re.compile(r"\$(?:\.spec)?\.(\w+)")
FIELD_OF_KIND: Mapping[str, str] = {
    "driver_unavailable": "image",
    "not_supported": "image",
    "not_found": "image",
    "conflict": "name",
    "no_path": "node",
    "node_unreachable": "node",
}
SHOWN_AS: Mapping[str, str] = {
    "nics": "ports",
    "cloud_init": "user_data",
    "limits": "memory_mib",
    "kernel": "kernel",
}
KNOWN = frozenset(
    (
        *("node", "image", "name", "description", "cpus", "memory_mib", "disks", "ports", "labels"),
        *("kernel", "initrd", "cmdline", "restart", "autostart", "stop_timeout_s", *CLOUD),
    )
)
"""The fields of the page: a problem with another one is told above all."""

Problems = dict[str, str]


def spec_of(form: Form) -> tuple[dict[str, Any], Problems]:
    """The spec that a form means, and what is wrong with its fields."""
    problems: Problems = {}
    spec: dict[str, Any] = {
        name: form.one(name)
        for name in ("name", "image", "description", "restart", "autostart")
        if form.one(name)
    }
    for name, read_field in READERS.items():
        try:
            value = read_field(form)
        except RpcError as error:
            problems[name] = str(error).removeprefix(f"{name}: ")
            continue
        if value not in (None, "", [], {}):
            spec["nics" if name == "ports" else name] = value
    for name in ("name", "image"):
        if name not in spec:
            problems[name] = "is needed"
    return spec, problems


def _whole(form: Form, name: str) -> int | None:
    text = form.one(name)
    if not text:
        return None
    if not text.isdecimal() or len(text) > 10:
        raise RpcError("invalid_params", f"{name}: {text[:60]!r} is not a whole number")
    return int(text)


def _nics(form: Form) -> list[dict[str, Any]]:
    if form.one("net") == "none":
        return [{"mode": "none"}]
    ports = [port_of(text) for text in _words(form.one("ports"))]
    return [{"mode": "user", "ports": ports}] if ports else []


def _kernel(form: Form) -> dict[str, Any]:
    found = {"image": form.one("kernel"), **{k: form.one(k) for k in ("initrd", "cmdline")}}
    given = {name: text for name, text in found.items() if text}
    if given and "image" not in given:
        raise RpcError("invalid_params", "kernel: name the kernel, too")
    return given


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


READERS: Mapping[str, Callable[[Form], Any]] = {
    "cpus": lambda form: _whole(form, "cpus"),
    "memory_mib": lambda form: (
        mib_of(form.one("memory_mib"), "memory_mib") if form.one("memory_mib") else None
    ),
    "stop_timeout_s": lambda form: _whole(form, "stop_timeout_s"),
    "disks": lambda form: [disk_of(text) for text in _words(form.one("disks"))],
    "ports": _nics,
    "kernel": _kernel,
    "labels": lambda form: pairs_of(_words(form.one("labels")), "labels"),
    "cloud_init": lambda form: {name: form.fields[name] for name in CLOUD if form.one(name)},
}


def placed(problems: Iterable[Mapping[str, Any]]) -> Problems:
    """What a node says of a spec, each beside its field, or above all under an empty name."""
    found: Problems = {}
    for problem in problems:
        message = str(problem.get("message") or problem.get("kind"))
        name = _field_of(problem, message)
        found[name] = f"{found[name]}; {message}" if name in found else message
    return found


def _field_of(problem: Mapping[str, Any], message: str) -> str:
    data = problem.get("data")
    told = data.get("parameter") or data.get("field") if isinstance(data, Mapping) else None
    named = FIELD_OF_PATH.search(message)
    name = str(told or (named.group(1) if named else _by_words(problem, message)))
    name = SHOWN_AS.get(name, name)
    return name if name in KNOWN else ""


def _by_words(problem: Mapping[str, Any], message: str) -> str:
    """Which field a sentence is about, where nothing else says it."""
    if problem.get("kind") == "insufficient":
        words = {"memory": "memory_mib", "port": "ports", "disk": "disks", "cpu": "cpus"}
        return next((name for word, name in words.items() if word in message.lower()), "")
    return FIELD_OF_KIND.get(str(problem.get("kind")), "")


def _call(asked: Asked) -> Call:
    fields = read(asked, (Field("node"),), ("image", "place"))
    return Call("node.drivers", fields) if fields else Call("node.list", NODES_TO_CHOOSE)


def placement_of(form: Form) -> dict[str, Any]:
    """What the node must be that a hub chooses."""
    labels = _words(form.one("place_labels"))
    return {"placement": {"labels": labels}} if labels else {}


def _extras(asked: Asked) -> Mapping[str, Call]:
    return {"nodes": Call("node.list", NODES_TO_CHOOSE)}


def _shape(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    drivers = answer.get("drivers", [])
    is_placing = asked.one("place") == "auto" and not asked.one("node")
    return {
        "nodes": extras.get("nodes", {}).get("items", []),
        "node": asked.one("node"),
        "drivers": drivers,
        "is_placing": is_placing,
        "needs_cloud": is_placing
        or any("cloud_init" in (each.get("capabilities") or ()) for each in drivers),
        "wish": {**USUAL, "image": asked.one("image"), "node": asked.one("node")},
        "problems": {},
        "validated": None,
    }


NEW = Page(
    path="/vm-new",
    twin="/vm-new.json",
    template="vm_new.html",
    section="vms",
    main=_call,
    extras=_extras,
    shape=_shape,
)
