"""Making the order for one sandbox's shim out of its record, and starting that shim."""

import errno
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import edge.vm.shim
from edge.vm.cgroups_find import Hierarchies, Wanted
from edge.vm.images import program_of
from edge.vm.isolation import HOME, MIB, Isolation, Room, command
from edge.vm.launch import Launch, save_launch
from edge.vm.model import Spec, Vm, VmSettings
from edge.vm.shim_client import living_shim
from shared.errors import RpcError

START_SECONDS_MAX = 20.0
FILES_MAX = 1024
SHIM_STOP_SECONDS_MAX = 10.0
CODE_ROOT = str(Path(edge.vm.shim.__file__).resolve().parents[2])


def wanted(spec: Spec) -> Wanted:
    """The limits that a person asked for."""
    memory_mib = spec.limits.memory_mib or spec.memory_mib
    memory_bytes = memory_mib * MIB if memory_mib else None
    return Wanted(memory_bytes, spec.limits.cpu_percent, spec.limits.pids)


def make_launch(
    vm: Vm,
    folder: Path,
    isolation: Isolation | None,
    hierarchies: Hierarchies,
    settings: VmSettings,
) -> Launch:
    """The order for the shim of `folder`; raises RpcError not_found for an unknown template.

    What a control group holds is not bounded a second time: the sum counts, and programs that
    reserve more address space than they use can run.
    """
    program = program_of(vm.spec.image, settings.templates)
    limits = wanted(vm.spec)
    held = hierarchies.held(limits)
    env = environment(vm, HOME if isolation else str(folder), is_isolated=isolation is not None)
    argv = list(program.argv)
    if isolation is not None:
        hidden = (str(folder.parents[1].resolve()),)
        room = Room(vm.name, env, vm.spec.limits.disk_mib, settings.readable_paths, hidden)
        argv = command(isolation, room, argv)
    is_counting = isolation is not None and counts_apart() and "pids" not in held
    return Launch(
        vm_id=vm.id,
        argv=argv,
        env={} if isolation is not None else env,
        uid=isolation.uid if isolation is not None else None,
        isolated=isolation is not None,
        address_space_bytes_max=None if "memory" in held else limits.memory_bytes,
        files_max=FILES_MAX,
        processes_max=limits.pids if is_counting else None,
        console_bytes_max=settings.console_bytes_max,
        stop_signals=list(program.stop_signals),
        stop_seconds_max=SHIM_STOP_SECONDS_MAX,
        groups=hierarchies.groups_for(vm.id, limits),
        held=held,
        inner_env=env,
    )


def environment(vm: Vm, home: str, *, is_isolated: bool) -> dict[str, str]:
    """Nothing of the agent's own environment, which may hold keys."""
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    base = {"PATH": path, "HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    isolation = "namespaces" if is_isolated else "none"
    ours = {"HEADWATER_VM": vm.name, "HEADWATER_ISOLATION": isolation}
    return {**base, "PS1": f"{vm.name}:$ ", **ours, **vm.spec.env}


def counts_apart() -> bool:
    """Before Linux 5.14 the process limit counted all processes of the user, inside and outside."""
    major, _, rest = os.uname().release.partition(".")
    minor = "".join(itertools.takewhile(str.isdigit, rest))
    return (int(major), int(minor or 0)) >= (5, 14)


def launch_shim(folder: Path, launch: Launch) -> None:
    """Blocking; a shim that runs already is kept. Raises RpcError insufficient (a full disk)
    or driver_error, with what the shim said."""
    if living_shim(folder) is not None:
        return
    try:
        save_launch(folder, launch)
        word, complaint = _first_word(folder)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise _failure(str(error), is_full=_is_full(error)) from error
    if not word.get("ok") and word.get("kind") != edge.vm.shim.ALREADY_RUNNING:
        said = word.get("message") or complaint or "no reason given"
        raise _failure(said, is_full=word.get("kind") == edge.vm.shim.DISK_FULL)


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _failure(said: str, *, is_full: bool) -> RpcError:
    kind, data = ("insufficient", {"what": "disk"}) if is_full else ("driver_error", {})
    return RpcError(kind, f"the sandbox's shim did not start: {said}", data)


def _first_word(folder: Path) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, *edge.vm.shim.COMMAND, str(folder)],
        env={"PYTHONPATH": CODE_ROOT, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS_MAX,
        start_new_session=True,
        check=False,
    )
    word: dict[str, Any] = json.loads(done.stdout or "{}")
    return word, done.stderr.strip()[-500:]
