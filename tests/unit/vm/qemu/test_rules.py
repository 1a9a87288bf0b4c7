"""The parts of the driver that need no machine: the command line, headers, verdicts, counting."""

import json
import shutil
import socket
import struct
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vm.console_log import ConsoleLog
from edge.vm.model import CloudInit, Disk, Kernel, Limits, Nic, Port, Spec, State, Vm
from edge.vm.qemu.accel import has_virtualisation, probe
from edge.vm.qemu.argv import GAP_FILE, Drive, Setup, accel_word, command_line, identity_of, mac_of
from edge.vm.qemu.checks import check_ports, memory_mib_of, warnings_of
from edge.vm.qemu.console import VIEWER_BYTES_MAX, SerialLine, absorb
from edge.vm.qemu.disks import disks_of
from edge.vm.qemu.gap import empty_gap, fill_gap, log_size, overlap
from edge.vm.qemu.header import MAGIC, read_header
from edge.vm.qemu.launch import start_error
from edge.vm.qemu.ports import cards, resolve_ports
from edge.vm.qemu.seed import seed_files, write_seed
from edge.vm.qemu.verdict import Verdict, judge
from edge.vm.tiny import TINY
from shared.errors import BadInput, RpcError
from shared.runtime import Runtime
from tests.examples import examples

ID = uuid.UUID("12345678-1234-1234-1234-1234567890ab")


def spec(**more: Any) -> Spec:
    return Spec(**{"name": "box", "image": TINY, **more})


def setup(**more: Any) -> Setup:
    return replace(Setup(Path("/v/box"), ID, "tcg", 16), **more)


def header(
    version: int = 3,
    backing: int = 0,
    bits: int = 16,
    size: int = 2**20,
    crypt: int = 0,
    features: int = 0,
) -> bytes:
    head = MAGIC + struct.pack(">IQIIQI", version, backing, 0, bits, size, crypt)
    return head.ljust(72, b"\0") + struct.pack(">Q", features) + bytes(24)


def after(words: list[str], option: str) -> list[str]:
    """Every value of an option."""
    return [words[index + 1] for index, word in enumerate(words) if word == option]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("-machine", "q35"),
        ("-accel", "tcg,tb-size=32"),
        ("-m", "16M"),
        ("-smp", "1"),
        ("-uuid", str(ID)),
        ("-pidfile", "/v/box/pid"),
        ("-qmp", "unix:qmp.sock,server=on,wait=off"),
        ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ],
)
def test_the_command_line_of_the_smallest_machine(option: str, value: str) -> None:
    assert after(command_line(spec(), setup()), option) == [value]


def test_every_machine_is_bare_outlives_its_agent_and_waits_at_its_end() -> None:
    words = command_line(spec(), setup())
    assert {"-nodefaults", "-no-user-config", "-no-shutdown"} <= set(words)
    assert "logfile=gap.log,logappend=on" in after(words, "-chardev")[0]


def test_a_guest_whose_kernel_panics_has_a_device_to_say_so() -> None:
    """Without it the kernel halts for ever, and QEMU sees nothing but a guest that runs."""
    assert "pvpanic" in after(command_line(spec(), setup()), "-device")


def test_a_path_with_commas_reaches_qemu_whole() -> None:
    """Options that QEMU splits at commas never hold a path."""
    drive = Drive("disk0", Path("/v/a,b=c/root.qcow2"))
    words = command_line(spec(), setup(drives=(drive,), seed=Path("/v/a,b/seed")))
    nodes = [json.loads(text) for text in after(words, "-blockdev")]
    assert nodes[0]["file"]["filename"] == "/v/a,b=c/root.qcow2"
    assert (nodes[1]["driver"], nodes[1]["read-only"]) == ("vvfat", True)


def test_cards_have_their_ports_and_addresses_of_their_own() -> None:
    port = Port(guest=22, host=2222)
    nics = (Nic(ports=(port,)), Nic(mode="none"), Nic(model="e1000", mac="52:54:00:00:00:01"))
    words = command_line(spec(nics=nics), setup(ports=((port,), (), ())))
    assert after(words, "-netdev") == [
        "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22",
        "user,id=net2",
    ]
    assert f"mac={mac_of(ID, 0)}" in words[words.index("-netdev") + 3]
    assert mac_of(ID, 0) == "52:54:00:78:90:ab"
    assert mac_of(uuid.UUID(int=2**24 - 1), 1) == "52:54:00:00:00:00"


def test_a_kernel_is_loaded_without_a_boot_loader() -> None:
    kernel = Kernel(image="linux", initrd="ramdisk", cmdline="console=ttyS0 a,b")
    words = command_line(
        spec(kernel=kernel), setup(kernel=Path("/i/linux"), initrd=Path("/i/ramdisk"))
    )
    assert after(words, "-kernel") == ["/i/linux"]
    assert after(words, "-initrd") == ["/i/ramdisk"]
    assert after(words, "-append") == ["console=ttyS0 a,b"]
    assert "-kernel" not in command_line(spec(), setup())


def test_hardware_needs_no_translation_cache() -> None:
    assert accel_word("kvm") == "kvm"


def test_an_id_that_is_no_uuid_always_gets_the_same_one() -> None:
    assert identity_of(str(ID)) == ID
    assert identity_of("box") == identity_of("box") != identity_of("fox")


@pytest.mark.parametrize(
    ("status", "accel", "verdict"),
    [
        ("running", "tcg", Verdict(State.RUNNING)),
        ("paused", "tcg", Verdict(State.PAUSED)),
        ("io-error", "tcg", Verdict(State.PAUSED)),
        ("shutdown", "tcg", Verdict(State.ABSENT, "guest_shutdown")),
        ("guest-panicked", "tcg", Verdict(State.ABSENT, "guest_panic")),
        ("internal-error", "kvm", Verdict(State.ABSENT, "accel_failed")),
        ("internal-error", "tcg", Verdict(State.ABSENT, "crashed")),
        ("a word of tomorrow", "tcg", Verdict(State.RUNNING)),
    ],
)
def test_run_states_are_judged(status: str, accel: str, verdict: Verdict) -> None:
    assert judge(status, accel) == verdict


@given(st.binary(max_size=200))
@settings(max_examples=examples(300))
def test_arbitrary_headers_raise_only_bad_input(data: bytes) -> None:
    for text in (data, MAGIC + data, header()[:8] + data):
        try:
            read_header(text)
        except BadInput:
            continue


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "not a qcow2"),
        (header(version=4), "unknown version"),
        (header(backing=104), "builds on another file"),
        (header(version=2, backing=104), "builds on another file"),
        (header(features=4), "in another file"),
        (header(features=1 << 40), "features"),
        (header(crypt=2), "encrypted"),
        (header(size=2**60), "claims"),
        (header(size=0), "claims"),
        (header(bits=40), "claims"),
    ],
)
def test_images_that_lead_elsewhere_or_lie_are_refused(head: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_header(head)


def test_a_plain_image_is_taken() -> None:
    assert read_header(header()).virtual_bytes == 2**20
    assert read_header(header(version=2, features=255)).virtual_bytes == 2**20


def test_the_image_is_the_first_disk_with_what_is_said_of_it() -> None:
    disks = disks_of(spec(disks=(Disk(name="data", size_mib=1), Disk(name="root", size_mib=9))))
    assert [(disk.name, disk.image, disk.size_mib) for disk in disks] == [
        ("root", TINY, 9),
        ("data", None, 1),
    ]


@pytest.mark.parametrize(
    "disks",
    [
        (Disk(name="a", size_mib=1), Disk(name="a", size_mib=2)),
        (Disk(name="a"),),
        (Disk(name="root", image="another"),),
    ],
)
def test_disks_that_contradict_themselves_are_refused(disks: tuple[Disk, ...]) -> None:
    with pytest.raises(RpcError) as refusal:
        disks_of(spec(disks=disks))
    assert refusal.value.kind == "invalid_params"


@pytest.mark.parametrize(
    ("nic", "kind"),
    [
        (Nic(ports=(Port(guest=1, bind="::1"),)), "not_supported"),
        (Nic(ports=(Port(guest=1, bind="1.2.3"),)), "invalid_params"),
        (Nic(mode="none", ports=(Port(guest=1),)), "invalid_params"),
        (Nic(ports=(Port(guest=1, host=80), Port(guest=2, host=80))), "invalid_params"),
    ],
)
def test_ports_that_cannot_be_forwarded_are_refused(nic: Nic, kind: str) -> None:
    with pytest.raises(RpcError) as refusal:
        check_ports(spec(nics=(nic,)))
    assert refusal.value.kind == kind


def test_open_ports_get_different_numbers_and_keep_them() -> None:
    ports = tuple(Port(guest=number) for number in range(1, 9))
    asked = spec(nics=(Nic(ports=ports[:3]), Nic(ports=ports[3:])))
    chosen = resolve_ports(asked, ())
    assert len({port.host for port in chosen} - {0}) == 8
    assert resolve_ports(asked, chosen) == chosen
    assert cards(asked, chosen) == (chosen[:3], chosen[3:])


def test_a_kept_number_that_is_taken_meanwhile_is_given_up() -> None:
    asked = spec(nics=(Nic(ports=(Port(guest=22),)),))
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        number = stranger.getsockname()[1]
        chosen = resolve_ports(asked, (Port(guest=22, host=number),))
    assert chosen[0].host not in (0, number)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("qemu: Could not set up host forwarding rule 'tcp::1-:2'", "insufficient"),
        ("qemu: cannot set up guest memory 'pc.ram': Cannot allocate memory", "insufficient"),
        ("qemu: something else", "driver_error"),
        ("qemu: warning: only this", "driver_error"),
    ],
)
def test_failures_are_named_by_the_words_of_qemu(text: str, kind: str) -> None:
    assert start_error(text).kind == kind


def test_memory_has_a_default_for_each_kind_of_guest() -> None:
    assert memory_mib_of(spec()) == 16
    assert memory_mib_of(spec(image="debian")) == 512
    assert memory_mib_of(spec(image="debian", limits=Limits(memory_mib=64))) == 64


def test_people_are_warned_of_what_they_may_not_expect() -> None:
    assert warnings_of(spec(), is_emulated=False) == []
    asked = spec(
        image="debian",
        memory_mib=64,
        env={"A": "b"},
        limits=Limits(cpu_percent=50),
        nics=(Nic(ports=(Port(guest=22, bind="0.0.0.0"),)),),
    )
    assert len(warnings_of(asked, is_emulated=True)) == 5


def test_an_accelerator_is_not_believed_without_a_flag_of_the_processor() -> None:
    assert has_virtualisation("model : x\nflags\t\t: fpu vmx sse\n")
    assert not has_virtualisation("flags\t\t: fpu vmxnet sse\nbugs : svm\n")


def test_without_a_device_guests_are_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.vm.qemu.accel.KVM_DEVICE", tmp_path / "none")
    found = probe(tmp_path / "disk")
    assert (found.name, found.isolation) == ("tcg", "emulated")
    assert found.why


def record(**more: Any) -> Vm:
    return Vm(id="i-1", node_id="n", spec=spec(**more), kind="vm", driver="qemu", created_ms=1)


def test_a_seed_names_the_machine_even_when_nobody_says_how(tmp_path: Path) -> None:
    files = seed_files(record(cloud_init=CloudInit(user_data="#!/bin/sh\n")))
    assert files["user-data"] == "#!/bin/sh\n"
    assert 'instance-id: "i-1"' in files["meta-data"]
    assert "network-config" not in files
    folder = write_seed(record(cloud_init=CloudInit(network="version: 2")), tmp_path)
    assert folder is not None
    assert sorted(path.name for path in folder.iterdir()) == [
        "meta-data", "network-config", "user-data",
    ]  # fmt: skip
    assert write_seed(record(), tmp_path) is None
    assert not folder.exists()


@given(st.binary(max_size=60), st.integers(0, 60), st.binary(max_size=20))
@settings(max_examples=examples(300))
def test_what_came_both_ways_is_found(window: bytes, accepted_at: int, more: bytes) -> None:
    """The true overlap is never missed; a longer one only repeats the same bytes."""
    heard = window[accepted_at:] + more
    size = overlap(window, heard)
    assert size >= len(window[accepted_at:])
    assert window[len(window) - size :] == heard[:size]


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=12), st.data())
@settings(max_examples=examples(50))
def test_the_log_is_the_whole_console_wherever_agents_died(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], data: st.DataObject
) -> None:
    """QEMU's file gets every piece; an agent hears some of them, then is gone, again and again."""
    folder = tmp_path_factory.mktemp("gap")
    log = ConsoleLog(folder, 2**20)
    for piece in pieces:
        with (folder / GAP_FILE).open("ab") as file:
            file.write(piece)
        if data.draw(st.booleans(), "an agent comes back and fills the gap"):
            fill_gap(folder, log, 2**20)
            if data.draw(st.booleans(), "and empties the file"):
                empty_gap(folder)
    fill_gap(folder, log, 2**20)
    log.close()
    absorb(folder, 2**20)
    held = b"".join(path.read_bytes() for path in sorted(folder.glob("console-*")))
    assert (held, log_size(folder)) == (b"".join(pieces), len(b"".join(pieces)))
    shutil.rmtree(folder)


def test_a_gap_larger_than_the_log_is_cut_at_its_beginning(tmp_path: Path) -> None:
    (tmp_path / GAP_FILE).write_bytes(b"a" * 100_000 + b"end")
    absorb(tmp_path, 16_384)
    held = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("console-*")))
    assert held.endswith(b"end")
    assert len(held) <= 16_384
    assert (tmp_path / GAP_FILE).stat().st_size == 0


async def test_a_slow_viewer_loses_its_oldest_bytes_and_is_told_so(
    tmp_path: Path, runtime: Runtime
) -> None:
    viewer = SerialLine(tmp_path, runtime, 4096).view()
    for _ in range(10):
        viewer.show(b"x" * (VIEWER_BYTES_MAX // 4))
    said = await viewer.read()
    note, _, rest = said.partition(b"]\r\n")
    assert note == f"\r\n[{VIEWER_BYTES_MAX // 4 * 6} bytes were left out".encode()
    assert len(rest) == VIEWER_BYTES_MAX
    await viewer.close()
    assert await viewer.read() == b""
