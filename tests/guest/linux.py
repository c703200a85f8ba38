"""Guests that nobody here wrote, on one pod: Debian's Linux kernel and memtest86+, each unchanged."""
import re
import struct
import subprocess
import sys

from tools.lab import children, linux, places, waiting
from tools.lab.bochs import Alone
from tools.lab.errors import Failure, expect, expect_equal

from tools.lab.settings import Guest, Machine, Pod
from tools.lab.waiting import wait_until

SETTINGS = Machine(ips=100_000_000)
ADDRESS = "10.0.2.77/24"
IDLE_SHARE_MAX = 0.10       # of a CPU, for a Linux that has nothing to do
UPTIME_STEP = 0.03          # seconds: /proc/uptime counts in hundredths
BOOT_RATIO_MAX = 1.5        # instructions to the shell, against the bare machine
XLOADFLAGS, XLF_KERNEL_64 = 0x236, 1
WARNING = 4                 # the kernel's levels 0 to 4 are its complaints
# What this kernel says of the machine "pc" of QEMU, with KVM and without: its host bridge has no MMCONFIG either.
KNOWN = [
    r"^acpi PNP0A03:00: fail to add MMCONFIG information",
]


def bad_files():
    """Kernels with something wrong, and an initrd that is too large for what the tests give it."""
    kernel = bytearray((places.LINUX / linux.KERNEL).read_bytes())
    flags, = struct.unpack_from("<H", kernel, XLOADFLAGS)
    struct.pack_into("<H", kernel, XLOADFLAGS, flags & ~XLF_KERNEL_64)
    return {"no64": bytes(kernel[:1 << 20]), "big": bytes(5 << 20), "module": b"sum 10\n"}


class LinuxPod:
    """A pod on which one Linux is booted, with its shell on COM2."""

    directory = places.BUILD / "test/linux"

    def __init__(self):
        linux.built()
        guests = [linux.guest(cmdline=f"quiet address={ADDRESS}", devices="net, entropy"), linux.MEMTEST,
                  Guest("multiboot", initrd="module", cmdline="one two"), Guest("no64", image="no64"),
                  Guest("big", image="memtest", initrd="big", memory="4M")]
        self._alone = Alone(SETTINGS, Pod("pod-l", guests, files=bad_files()), self.directory)
        self.pod = self._alone.machine

    def start(self):
        self._alone.start()
        self.pod.ready()
        self.pod.control.must("start linux")
        self.shell = linux.Shell(self.pod, "linux", 0)
        self.ticks, _ = self.shell.wait()

    def usable(self):
        return self.pod.alive()

    def stop(self):
        self._alone.stop()

    def guest(self, name="linux"):
        return {guest["name"]: guest for guest in self.pod.control.must("list")["guests"]}[name]

    def share(self, seconds):
        """Which part of that time, by the pod's clock, the guest spent in guest mode."""
        before, began = self.guest()["guest_us"], waiting.now()
        self.pod.run_for(seconds)
        return (self.guest()["guest_us"] - before) / 1e6 / (waiting.now() - began)

    def said(self, name):
        """What a guest without the console on COM2 has said."""
        got = []
        self.pod.control.must(f"console {name} position=0", 20, lambda event: got.append(event.get("text", "")))
        return "".join(got)


def linux_on_the_bare_machine():
    """Its ticks to the shell. A process of its own: this one has a laboratory, whose time stands still meanwhile."""
    child = children.spawn([sys.executable, "-m", "tools.lab.direct"], cwd=places.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = child.communicate(timeout=600)
    finally:
        children.stop(child)
    expect(child.returncode == 0, f"the bare machine: {said[-600:]}")
    return int(said.split()[-1])


def boots(fixture: LinuxPod):
    """To its shell, with instructions counted against the same kernel and initrd on the bare machine."""
    release = next((places.BUILD / "deps/guests/linux/lib/modules").iterdir()).name
    expect_equal(fixture.shell.run("uname -r").strip(), release, "the kernel's release")
    bare = linux_on_the_bare_machine()
    expect(fixture.ticks <= BOOT_RATIO_MAX * bare, f"{fixture.ticks} instructions to the shell, {bare} on the bare machine")


def complaints(fixture: LinuxPod):
    """The kernel complains of nothing that is ours."""
    lines = fixture.shell.run("dmesg -r").split("\n")
    levels = [(int(found[1]) & 7, found[2]) for line in lines
              if (found := re.match(r"<(\d+)>\[ *[\d.]+\] (.*)", line))]
    expect(len(levels) > 100, f"dmesg has only {len(levels)} lines")
    bad = [text for level, text in levels if level <= WARNING and not any(re.search(known, text) for known in KNOWN)]
    if bad:
        raise Failure("the kernel complains:\n" + "\n".join(bad))


def clocks(fixture: LinuxPod):
    """TSC as clock source; sleep takes its time by the pod's clock; the workload finds all clocks in step."""
    run = fixture.shell.run
    source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    expect_equal(run(f"cat {source}").strip(), "tsc", "clock source")
    expect_equal(linux.timers(fixture.shell), ["lapic-deadline"], "timer")

    def uptime():
        """(the pod's clock before, the guest's, the pod's after): the guest's was read between the two."""
        return waiting.now(), float(run("cat /proc/uptime").split()[0]), waiting.now()

    first = uptime()
    slept = [float(line.split()[0]) for line in run("cat /proc/uptime; sleep 3; cat /proc/uptime").split("\n")[:2]]
    last = uptime()
    expect(3.0 <= slept[1] - slept[0] < 4.0, f"sleep 3 took {slept[1] - slept[0]:.2f} s")
    least, counted, most = last[0] - first[2], last[1] - first[1], last[2] - first[0]
    expect(least - UPTIME_STEP <= counted <= most + UPTIME_STEP,
           f"{counted:.2f} s passed in the guest, and from {least:.2f} to {most:.2f} s on the pod")
    text = run("workload count=3 report=300 pages=128 rate=4 check=4", 60)
    text += fixture.pod.com2.log.text()
    expect("workload: pass" in text, f"the workload said {text[-600:]!r}")


def interrupts(fixture: LinuxPod):
    """/proc/interrupts: the APIC's timer and the serial port count up, through the I/O APIC; no errors."""
    def counts():
        return linux.interrupts(fixture.shell, ".")

    before = counts()
    fixture.shell.run("sleep 1")
    after = counts()
    expect(after["LOC"][0][0] > before["LOC"][0][0], f"no timer interrupts: {after['LOC']}")
    expect(after["4"][0][0] > before["4"][0][0] and "IO-APIC" in after["4"][1] and "ttyS0" in after["4"][1], f"IRQ 4: {after['4']}")
    for name in ("ERR", "MIS", "SPU"):
        expect_equal(after.get(name, ([0], ""))[0], [0], f"{name} interrupts")


def network(fixture: LinuxPod):
    """An address, and a file from its own web server, whose bytes are known."""
    wait_until(lambda: "inet " in fixture.shell.run("ip -4 address show dev eth0"), 40, "no address", 1)
    fixture.shell.run("ping -c 1 -W 5 10.0.2.2")
    lines = fixture.shell.run("wget -q -O - http://127.0.0.1/file | tail -n 2").split()
    expect_equal(lines, ["%015d" % number for number in (65534, 65535)], "the end of the file")
    expect(fixture.guest()["addresses"], "the pod does not know the guest's address")


def idle(fixture: LinuxPod):
    fixture.pod.run_for(1)
    share = fixture.share(3)
    expect(share < IDLE_SHARE_MAX, f"an idle Linux uses {share:.1%} of the CPU")


def spinning(fixture: LinuxPod):
    """A guest that spins in user mode answers at its shell, and the pod answers too."""
    fixture.shell.run("(while :; do :; done) & echo $! > /tmp/spin")
    try:
        expect(fixture.share(2) > 0.5, "the loop does not run")
        expect_equal(fixture.shell.run("echo here").strip(), "here", "answer of the shell")
        began = waiting.now()
        fixture.guest()
        expect(waiting.now() - began < 2, "the pod takes long to answer")
    finally:
        fixture.shell.run("kill $(cat /tmp/spin)")


def refused(fixture: LinuxPod):
    """Bad kernels, initrds and command lines: a sentence each, and nothing started."""
    must_fail = fixture.pod.control.must_fail
    must_fail("start no64", ["64-bit entry"])
    must_fail("start x image=vmlinuz memory=32M", ["memory is too small", "32 MiB"])
    must_fail("start big", ["initrd (5 MiB) is larger", "4 MiB"])
    must_fail("start x image=memtest memory=4M cmdline=" + "y" * 300, ["command line is too long", "255"])
    must_fail("start x image=initrd memory=4M", ["lz4"])
    names = [guest["name"] for guest in fixture.pod.control.must("list")["guests"]]
    expect(not {"x", "no64", "big"} & set(names), "a guest was started all the same")


def multiboot(fixture: LinuxPod):
    """A Multiboot kernel checks its registers, memory map, command line and module, and ends by port F4h."""
    fixture.pod.control.must("start multiboot")
    wait_until(lambda: fixture.guest("multiboot")["state"] != "running", 20, lambda: f"it does not end: {fixture.said('multiboot')!r}")
    guest, text = fixture.guest("multiboot"), fixture.said("multiboot")
    fixture.pod.control.must("stop multiboot")
    expect(guest["reason"] == "exit code 0" and "multiboot: pass" in text, f"{guest['reason']}: {text!r}")
    expect("command line multiboot.elf one two" in text and "module 7 bytes" in text, f"it said {text!r}")


def switched_off(fixture: LinuxPod):
    """Linux's poweroff makes the guest halted; `start` boots it again. The last of this fixture: nobody waits for its shell."""
    linux.type_text(fixture.pod, "linux", "poweroff -f\n")
    wait_until(lambda: fixture.guest()["state"] != "running", 20, "it does not end")
    expect_equal((fixture.guest()["state"], fixture.guest()["reason"]), ("halted", "powered off"), "the guest after poweroff")
    start = fixture.pod.com2.log.position
    fixture.pod.control.must(f"start linux cmdline={linux.CONSOLE}")
    fixture.pod.com2.log.wait_for("Linux version", 30, start, fixture.pod.alive)
    expect_equal(fixture.guest()["state"], "running", "state after the start")


def memtest(fixture: LinuxPod):
    """memtest86+ starts its tests on the memory that it was given. (It goes on while it is teleported: tests/pods.)"""
    fixture.pod.control.must("start memtest")
    try:
        wait_until(lambda: re.search(r"#[1-9] +\[", fixture.said("memtest")), 60,
                   lambda: f"memtest86+ does not get to its second test: {fixture.said('memtest')[-400:]!r}", 1)
        text = fixture.said("memtest")
        expect("Memory  :   16MB" in text, "memtest86+ does not find 16 MB")
        expect(re.search(r"Errors: 0 ", text) and not re.search(r"Errors: [1-9]", text), "memtest86+ counts errors")
    finally:
        fixture.pod.control.call("stop memtest")
