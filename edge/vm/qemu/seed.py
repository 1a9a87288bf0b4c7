"""The files that a cloud image's first boot reads (cloud-init, data source NoCloud)."""

import json
import shutil
from pathlib import Path

from edge.vm.model import Vm

FOLDER = "seed"


def seed_files(vm: Vm) -> dict[str, str]:
    """Names and contents; empty when nothing was asked for.

    Without an instance id cloud-init would not know a clone from its original.
    """
    asked = vm.spec.cloud_init
    if asked is None:
        return {}
    default = f"instance-id: {json.dumps(vm.id)}\nlocal-hostname: {json.dumps(vm.name)}\n"
    files = {
        "user-data": asked.user_data or "#cloud-config\n",
        "meta-data": asked.meta_data or default,
    }
    return {**files, "network-config": asked.network} if asked.network else files


def write_seed(vm: Vm, folder: Path) -> Path | None:
    """Write them anew; returns the folder that QEMU makes a disk of. Blocking; raises OSError."""
    target, files = folder / FOLDER, seed_files(vm)
    if target.exists():
        shutil.rmtree(target)
    if not files:
        return None
    target.mkdir(mode=0o700)
    for name, text in files.items():
        (target / name).write_text(text)
    return target
