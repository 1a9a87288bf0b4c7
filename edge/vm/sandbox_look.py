"""Looking at one sandbox: what its shim says and left behind, as everybody else sees it."""

from pathlib import Path
from typing import Any

from edge.vm.console_log import read_console
from edge.vm.driver import Foreign, Handle, Observed
from edge.vm.launch import ShimState, load_state
from edge.vm.model import Exit, State
from edge.vm.shim_client import living_shim, order
from shared.errors import RpcError


async def look(folder: Path, handle: Handle) -> Observed:
    """Look once; never raises for a machine that is gone."""
    if living_shim(folder) is None:
        return _gone(folder, handle)
    status: dict[str, Any] = {}
    try:
        status = await order(folder, "status")
        is_responsive = True
    except RpcError:
        is_responsive = False
    shim = living_shim(folder)  # It may have ended while it was asked.
    if shim is None:
        return _gone(folder, handle)
    return _seen(shim, status, handle, is_responsive)


def limits_enforced(
    *, is_isolated: bool, held: list[str], counts_processes: bool
) -> dict[str, bool]:
    """Which limits the kernel holds: without a control group nothing bounds the sum over
    processes, so we do not say so."""
    return {
        "cpu": "cpu" in held,
        "memory": "memory" in held,
        "pids": "pids" in held or counts_processes,
        "disk": is_isolated,
    }


def strangers(folder: Path, known: set[str]) -> list[Foreign]:
    """The folders that no record names. Blocking."""
    found = []
    for path in sorted(folder.glob("[!.]*/")):
        if path.name not in known:
            shim = living_shim(path)
            what = "a sandbox that runs" if shim else "the folder of a sandbox"
            pid = shim.shim_pid if shim else None
            found.append(Foreign({"folder": path.name}, f"{what}, and is in no record", pid))
    return found


def _seen(shim: ShimState, status: dict[str, Any], handle: Handle, is_responsive: bool) -> Observed:
    enforced = limits_enforced(
        is_isolated=handle.get("isolation") == "namespaces",
        held=shim.held,
        counts_processes=shim.processes_enforced,
    )
    return Observed(
        state=State.PAUSED if status.get("paused") else State.RUNNING,
        pid=int(status.get("pid", shim.child_pid)),
        started_ms=shim.started_ms,
        isolation=handle.get("isolation"),
        is_responsive=is_responsive,
        limits_enforced={**enforced, "memory_per_process": bool(handle.get("memory"))},
    )


def _gone(folder: Path, handle: Handle) -> Observed:
    state = load_state(folder)
    isolation = handle.get("isolation")
    if state is None or state.exit is None:
        return Observed(State.ABSENT, isolation=isolation)
    return Observed(
        State.ABSENT,
        started_ms=state.started_ms,
        exit=Exit(state.exit["code"], state.exit["signal"], state.exit["at_ms"]),
        start_error=None if state.exit["started"] else _last_words(folder),
        isolation=isolation,
        ended="killed_oom" if state.exit.get("killed_oom") else "",
    )


def _last_words(folder: Path) -> str:
    words = read_console(folder, None, 500).data.decode(errors="replace").strip()
    return words.rpartition("\n")[2].strip() or "the sandbox ended before its program started"
