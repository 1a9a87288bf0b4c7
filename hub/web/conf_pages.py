"""The page about the settings of the cluster: what is set, who changed it, and which edges lack it."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, read
from hub.web.page import Answer, Answers, Call, Page

HISTORY_SHOWN = 50
DRIFT_SHOWN = 50

MARKS: Mapping[str, str] = {
    "refused": "bad",
    "behind": "warn",
    "waiting": "warn",
    "current": "ok",
    "unmanaged": "unknown",
}
"""How a state of an edge's settings is marked."""

WORDS: Mapping[str, str] = {
    "refused": "(the last good ones stay)",
    "behind": "(not applied yet)",
    "waiting": "(some hold from the next start)",
    "current": "(as it should be)",
    "unmanaged": "(no settings from hubs are taken)",
}


def _settings_call(asked: Asked) -> Call:
    read(asked, ())
    return Call("config.get")


def _settings_extras(asked: Asked) -> Mapping[str, Call]:
    return {
        "history": Call("config.history", {"limit": HISTORY_SHOWN}),
        "drift": Call("config.drift", {"limit": DRIFT_SHOWN}),
    }


def _settings(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    drift = extras.get("drift", {})
    known = {(each["for"], each["key"]): each for each in answer.get("known", [])}
    rows = [
        {**row, "about": known.get((row["for"], row["key"]), {})} for row in answer.get("items", [])
    ]
    return {
        "rows": rows,
        "known": answer.get("known", []),
        "not_applied": answer.get("not_applied", []),
        "parked": answer.get("parked", []),
        "set_hash": answer.get("hash", ""),
        "history": extras.get("history", {}).get("items", []),
        "drift": drift,
        "totals": [
            {"state": state, "count": count, "mark": MARKS[state], "words": WORDS[state]}
            for state, count in drift.get("totals", {}).items()
            if state in MARKS
        ],
        "marks": MARKS,
    }


SETTINGS = Page(
    path="/config",
    twin="/config.json",
    template="conf.html",
    section="hubs",
    main=_settings_call,
    extras=_settings_extras,
    shape=_settings,
    is_live=True,
)

CONF_PAGES = (SETTINGS,)
