"""Applies what hubs want of this edge, as a whole or not at all, over the settings of its owner.

Every set is checked with all that the edge knows before any of it is applied. What cannot be applied
or kept on disk leaves everything as it was, and is told. What is reported as applied is what the next
start begins with.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from edge.conf.last_good import read_last_good, write_last_good
from shared.conf import Document
from shared.conf_report import Report
from shared.errors import BadInput, HeadwaterError, SettingsError

log = logging.getLogger(__name__)

ERROR_LENGTH_MAX = 500

Settings = TypeVar("Settings")
Settle = Callable[[Mapping[str, Any]], Settings]
"""The settings of the owner with these over them; raises SettingsError that names what is wrong."""

Setter = Callable[[Any], None]
"""Gives a running part the new value of one setting; raises HeadwaterError or ValueError."""


class Offload(Protocol):
    """Runs blocking work elsewhere."""

    def __call__(self, work: Callable[[], Any], /) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Begun(Generic[Settings]):
    """What an edge starts with: the last good settings, or its owner's alone and what is wrong."""

    settings: Settings
    document: Document
    refused: str = ""
    error: str = ""


def begin(folder: Path, settle: Settle[Settings]) -> Begun[Settings]:
    """The settings to start with; no hub is needed, and nothing from hubs stops the start.

    Raises SettingsError only for settings of the owner.
    """
    own = settle({})
    try:
        document = read_last_good(folder)
    except BadInput as error:
        log.error("the settings from the hubs are left out until a hub answers: %s", error)
        return Begun(own, Document(), "", str(error))
    try:
        return Begun(settle(document.settings), document)
    except SettingsError as error:
        log.error("the settings from the hubs do not fit this edge any more: %s", error)
        return Begun(own, Document(), document.hash, str(error))


@dataclass(slots=True)
class Applier(Generic[Settings]):
    """Holds what is applied; one caller at a time."""

    folder: Path
    settle: Settle[Settings]
    setters: Mapping[str, Setter]
    offload: Offload
    begun: Begun[Settings]
    settings: Settings = field(init=False)
    document: Document = field(init=False)
    _refused: str = field(init=False)
    _error: str = field(init=False)

    def __post_init__(self) -> None:
        self.settings, self.document = self.begun.settings, self.begun.document
        self._refused, self._error = self.begun.refused, self.begun.error

    async def apply(self, document: Document) -> bool:
        """Apply a set and keep it on disk; False when everything is as before, and `report` says why."""
        try:
            await self._apply(document)
        except (HeadwaterError, ValueError) as error:
            self._refused, self._error = document.hash, str(error)
            log.error("settings from the hubs are refused, the last good ones stay: %s", error)
            return False
        self._refused = self._error = ""
        log.info("settings from the hubs are applied: %s", ", ".join(document.settings) or "none")
        return True

    async def _apply(self, document: Document) -> None:
        settings = self.settle(document.settings)
        before = self.settings
        done = self._set_all(before, settings)
        try:
            await self.offload(lambda: write_last_good(self.folder, document))
        except HeadwaterError:
            self._set_back(done, before)
            raise
        self.settings, self.document = settings, document

    def _set_all(self, before: Settings, after: Settings) -> list[str]:
        done: list[str] = []
        for key, setter in self.setters.items():
            if getattr(after, key) == getattr(before, key):
                continue
            try:
                setter(getattr(after, key))
            except (HeadwaterError, ValueError) as error:
                self._set_back(done, before)
                raise BadInput(f"{key} cannot be applied: {error}") from error
            done.append(key)
        return done

    def _set_back(self, done: list[str], before: Settings) -> None:
        for key in reversed(done):
            self.setters[key](getattr(before, key))

    def forget_refusal(self) -> bool:
        """Nobody wants any more what could not be applied; returns whether there was such a thing."""
        had = bool(self._refused or self._error)
        self._refused = self._error = ""
        return had

    def report(self) -> Report:
        """What the next heartbeat says."""
        return Report(
            self.document.hash, self._refused, self._error[:ERROR_LENGTH_MAX], self.waiting
        )

    @property
    def waiting(self) -> list[str]:
        """The keys whose new value counts from the next start."""
        begun, held = self.begun.settings, self.settings
        keys = self.document.settings.keys() | self.begun.document.settings.keys()
        return [
            key
            for key in sorted(keys - self.setters.keys())
            if getattr(held, key) != getattr(begun, key)
        ]
