"""The drivers of one node, and which of them runs what: the image decides, a person may insist."""

import asyncio
from collections.abc import Iterator, Sequence

from edge.vm.driver import Driver, Fingerprint
from edge.vm.model import Spec, Vm
from shared.errors import RpcError


class Drivers:
    """At least one driver; the first that knows an image runs it."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self._drivers = {driver.name: driver for driver in drivers}

    def __iter__(self) -> Iterator[Driver]:
        return iter(self._drivers.values())

    def of(self, vm: Vm) -> Driver:
        """The driver of a machine that exists; raises RpcError driver_unavailable when this version
        has none of the name."""
        driver = self._drivers.get(vm.driver)
        if driver is None:
            message = (
                f"{vm.name} was made by the driver {vm.driver!r}, which this agent does not have"
            )
            raise RpcError("driver_unavailable", message, {"driver": vm.driver})
        return driver

    def for_spec(self, spec: Spec) -> Driver:
        """The driver for a new machine; raises RpcError invalid_params or driver_unavailable."""
        fitting = [driver for driver in self if driver.runs(spec.image)]
        if not fitting:
            message = f"no driver of this node runs images like {spec.image!r}"
            raise RpcError("driver_unavailable", message, {"image": spec.image})
        if spec.driver == "auto":
            return fitting[0]
        for driver in fitting:
            if driver.name == spec.driver:
                return driver
        # An image of a disk is never run as a process, whatever is asked for.
        message = (
            f"the driver {spec.driver!r} does not run {spec.image!r}, {fitting[0].name!r} does"
        )
        raise RpcError("invalid_params", message, {"driver": fitting[0].name})

    async def fingerprints(self) -> list[Fingerprint]:
        """What each of them can do here."""
        return list(await asyncio.gather(*(driver.fingerprint() for driver in self)))

    async def close(self) -> None:
        """Let go of all connections; machines go on."""
        for driver in self:
            await driver.close()
