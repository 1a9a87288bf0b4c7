"""Whether this node runs guests by its processor or by emulation: found by running one.

/dev/kvm can be opened and make machines, and still not run a guest: a hypervisor without nested
virtualisation burns a core for a minute and then gives up.
"""

import os
import platform
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from edge.vm.qemu.argv import PROGRAM
from edge.vm.tiny import BANNER, MEMORY_MIB

KVM, TCG = "kvm", "tcg"
KVM_DEVICE = Path("/dev/kvm")
CPU_FILE = Path("/proc/cpuinfo")
BOOT_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Accel:
    """By what guests run, and why not by something faster."""

    name: str
    why: str = ""

    @property
    def isolation(self) -> str:
        """The word for records."""
        return "emulated" if self.name == TCG else "hardware"


def probe(disk: Path) -> Accel:
    """Try it with the tiny guest of a disk. Blocking, some two seconds at most."""
    if platform.machine() != "x86_64":
        return Accel(TCG, f"a {platform.machine()} processor does not run x86-64 guests itself")
    try:
        os.close(os.open(KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Accel(TCG, f"{KVM_DEVICE} cannot be opened: {error.strerror}")
    if not has_virtualisation(CPU_FILE.read_text()):
        return Accel(TCG, "the processor shows neither vmx nor svm, so KVM would not work")
    if not boots(KVM, disk, BOOT_SECONDS_MAX):
        return Accel(TCG, f"a tiny guest did not boot by KVM within {BOOT_SECONDS_MAX:g} s")
    return Accel(KVM)


def has_virtualisation(cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo names Intel's or AMD's extension."""
    flags = (line.partition(":")[2].split() for line in cpuinfo.splitlines() if line[:5] == "flags")
    return any({"vmx", "svm"} & set(words) for words in flags)


def boots(accel: str, disk: Path, seconds: float) -> bool:
    """Whether the tiny guest says its banner in time."""
    drive = f"driver=raw,node-name=disk0,read-only=on,file.driver=file,file.filename={disk}"
    words = [
        *(PROGRAM, "-machine", "q35", "-accel", accel, "-m", f"{MEMORY_MIB}M", "-nodefaults"),
        *("-no-user-config", "-display", "none", "-serial", "stdio", "-sandbox", "on,spawn=deny"),
        *("-blockdev", drive.replace(str(disk), str(disk).replace(",", ",,"))),
        *("-device", "virtio-blk-pci,drive=disk0"),
    ]
    deadline = time.monotonic() + seconds
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=nowhere)
    except OSError:
        return False
    with process:
        try:
            assert process.stdout is not None  # It is a pipe.
            return _says_banner(process.stdout.fileno(), deadline)
        finally:
            process.kill()


def _says_banner(fd: int, deadline: float) -> bool:
    said = b""
    while BANNER not in said:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(fd, 4096) if ready else b""
        if not data:
            return False
        said += data
    return True
