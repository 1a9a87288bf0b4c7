"""What the rest of this package needs of a driver: every kind of machine is run through this."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.vm.console_log import ConsolePage
from edge.vm.model import Exit, Spec, State, Vm

Handle = dict[str, Any]
"""Opaque to everybody but its driver: kept with the record, before the start and again after it."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a driver can do here, and if it cannot, why not."""

    name: str
    healthy: bool
    why: str
    version: str
    isolation: str
    capabilities: tuple[str, ...]
    images: tuple[str, ...]
    limits_enforced: dict[str, bool]


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a machine. `state` is RUNNING, PAUSED, or ABSENT when no process is left.

    `exit` is None for a lost machine whose end nobody saw. `start_error` says that the payload was
    never reached. `is_responsive` is False when the process lives but does not answer.
    """

    state: State
    pid: int | None = None
    started_ms: int | None = None
    exit: Exit | None = None
    start_error: str | None = None
    isolation: str | None = None
    is_responsive: bool = True
    limits_enforced: dict[str, bool] = field(default_factory=dict)


class Driver(Protocol):
    """Errors are RpcError with the kinds driver_unavailable, insufficient, not_supported,
    driver_error."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...

    async def fingerprint(self) -> Fingerprint: ...
    async def check(self, spec: Spec) -> None: ...
    async def create(self, vm: Vm) -> Handle: ...
    async def start(self, vm: Vm) -> Handle: ...
    async def observe(self, handle: Handle) -> Observed: ...
    async def wait_gone(self, handle: Handle) -> None: ...
    async def ask_to_stop(self, handle: Handle) -> None: ...
    async def kill(self, handle: Handle) -> None: ...
    async def pause(self, handle: Handle) -> None: ...
    async def resume(self, handle: Handle) -> None: ...
    async def destroy(self, handle: Handle) -> None: ...
    async def console_log(self, handle: Handle, offset: int | None, limit: int) -> ConsolePage: ...
    async def console_send(self, handle: Handle, text: str) -> int: ...
