"""The machines of this node behind one `call`: the methods, their admission, and their life."""

import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.vm import params as asked
from edge.vm import views
from edge.vm.actions import Actions
from edge.vm.adoption import Adoption
from edge.vm.console_lines import ConsoleLimits
from edge.vm.consoles import Consoles, Keep
from edge.vm.crew import Crew
from edge.vm.driver import Driver
from edge.vm.drivers import Drivers
from edge.vm.equipment import equipment
from edge.vm.expiry import Expiry
from edge.vm.following import Beginning, Following
from edge.vm.host_end import is_host_ending
from edge.vm.image_calls import ImageCalls
from edge.vm.image_store import ImageStore
from edge.vm.model import VmEvent, VmSettings
from edge.vm.once import Once
from edge.vm.operations import Operations
from edge.vm.orders import Orders
from edge.vm.processes import boot_id
from edge.vm.reads import Reads
from edge.vm.records import Records
from edge.vm.supervisor import Supervisor
from edge.vm.telling import OperationTelling, StatsTelling
from edge.vm.viewing import LookingOn
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.signals import Scalar


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where what machines use and show is kept, and as whose it is told."""

    keep: Keep
    resource: Mapping[str, Scalar]
    consoles: ConsoleLimits = field(default_factory=ConsoleLimits)


class VmService:
    """Runs machines for one node; the only writer of their records. `call` raises RpcError only."""

    def __init__(
        self,
        folder: Path,
        node_id: str,
        runtime: Runtime,
        settings: VmSettings,
        emit: Callable[[VmEvent], Awaitable[None]],
        changed: Callable[[], None],
        drivers: Sequence[Driver] = (),
        telemetry: Telemetry | None = None,
    ) -> None:
        self._node_id, self._settings, self._runtime = node_id, settings, runtime
        images = ImageStore(folder / "images", runtime, settings)
        self._drivers = Drivers(drivers or equipment(folder, runtime, settings, images))
        self._crew = Crew()
        self._records = Records(folder / "vm.db", runtime, settings.operations_max, changed)
        self._actions = Actions(self._drivers, self._records, runtime, emit)
        self._supervisor = Supervisor(
            self._drivers, self._records, self._actions, self._crew, runtime, settings
        )
        self._telling = OperationTelling(self._records, emit)
        self._tellers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if telemetry is not None:
            self._tellers = self._build_tellers(telemetry, runtime)
        operations = Operations(self._records, runtime, node_id, self._crew, self._supervisor.watch)
        self._supervisor.serve(operations)
        self._expiry = Expiry(
            self._records, self._actions, operations, runtime, settings.observe_seconds
        )
        reads = Reads(node_id, self._drivers, self._records, operations, runtime)
        orders = Orders(
            node_id,
            self._drivers,
            self._records,
            operations,
            self._actions,
            runtime,
            settings,
            Once(self._records, self._crew, runtime),
        )
        adoption = Adoption(
            node_id,
            self._drivers,
            self._records,
            operations,
            self._actions,
            runtime,
            orders.check_room,
        )
        self._images = ImageCalls(node_id, images, self._records, operations, runtime, settings)
        self._methods = {
            **reads.methods(),
            **orders.methods(),
            **self._images.methods(),
            **adoption.methods(),
        }

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that `call` knows."""
        return tuple(self._methods)

    async def open(self) -> None:
        """Open the book and reattach what runs; raises sqlite3.Error when the book is broken."""
        await self._records.open()
        await self._images.open()
        boot = boot_id()
        last = await self._records.read(lambda ledger: ledger.meta("boot_id", boot))
        await self._supervisor.recover(is_new_boot=last != boot)
        await self._records.read(lambda ledger: ledger.set_meta("boot_id", boot))

    async def run(self) -> None:
        """Supervise for ever: autostart, restarts, and a regular look at the world."""
        self._crew.start(self._supervisor.autostart())
        self._crew.start(self._supervisor.look_after())
        self._crew.start(self._expiry.run())
        self._crew.start(self._telling.run())
        for tell in self._tellers:
            self._crew.start(tell())
        await self._crew.first_failure()

    async def close(self) -> None:
        """Leave; machines are left running or stopped, as the settings say, and when the host goes
        down as each of them says."""
        await self._crew.close()
        if self._settings.on_stop == "stop" or await self._runtime.offload(is_host_ending):
            await self._supervisor.stop_all()
        await self._images.close()
        await self._drivers.close()
        await self._telling.tell_last()
        await self._records.close()

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer one call; raises RpcError with a kind of the table in shared.jsonrpc."""
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError("method_not_found", f"this node has no method {method!r}")
        try:
            return await handler(params)
        except sqlite3.Error as error:
            message = f"this node cannot write its book of machines: {error}"
            raise RpcError("internal", message) from error

    def _build_tellers(
        self, telemetry: Telemetry, runtime: Runtime
    ) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        seconds = self._settings.stats_seconds
        around = (self._drivers, self._records, runtime, telemetry.keep, telemetry.resource)
        return [StatsTelling(*around, seconds).run, Consoles(*around, telemetry.consoles).run]

    async def open_console(self, params: dict[str, Any]) -> Following | LookingOn:
        """A stream from and to the console of a machine that runs; raises RpcError."""
        wish = asked.read(params, asked.ConsoleOpen, self._node_id)
        vm = self._records.find(wish.vm)
        driver = self._drivers.of(vm)
        console = Following(
            lambda: driver.console_open(vm.handle),
            lambda offset, limit: driver.console_log(vm.handle, offset, limit),
        )
        await console.open(Beginning(wish.since, wish.tail))
        text = f"{wish.requested_by or 'somebody'} opened the console of {vm.name} ({wish.mode})"
        await self._actions.tell(vm, "vm.console", "INFO", text)
        return console if wish.mode == "rw" else LookingOn(console)

    def summary(self) -> list[dict[str, Any]]:
        """Every machine in brief, for the heartbeat."""
        return [views.brief(vm) for vm in self._records.all()]
