"""`make run-qemu`: plain QEMU under OVMF. It has no VT-x, so the pod says so in one sentence and goes on without guests;
what it has is a framebuffer, several CPUs and both generations of network cards."""
import shutil
import time

from . import places
from .emulators import make
from .errors import expect, expect_equal
from .waiting import wait_until
from .qemu import write_png
from .settings import Guest, Machine, Pod

NICS = {"e1000": "82540EM", "e1000e": "82574"}
CPUS = 2
BRIGHT = 96                 # of 255: a pixel of text
TEXT_PIXELS = 2000          # fewer, and the boot log is not on the screen


def check_screen(machine, directory):
    width, height, pixels = machine.screendump(directory / "screen.ppm")
    write_png(directory / "screen.png", width, height, pixels)
    bright = sum(value > BRIGHT for value in pixels[::3])
    expect(bright >= TEXT_PIXELS, f"the framebuffer shows hardly any text: {bright} bright pixels of {width * height}")
    return f"framebuffer {width}x{height} shows the boot log ({bright} bright pixels), {directory.name}/screen.png"


def check_pod(machine, nic):
    """Every promise about a pod without VT-x; yields a sentence for each that holds."""
    machine.ready()
    log = machine.log.text()
    vtx = [line for line in log.split("\n") if "no guests on this pod:" in line]
    expect_equal(len(vtx), 1, "sentences that say why there are no guests")
    yield vtx[0]
    expect(f" {CPUS} CPUs" in log, f"the log does not name {CPUS} CPUs")
    yield f"{CPUS} CPUs started"
    stats = machine.control.must("stats")
    expect_equal(len(stats["cpus"]), CPUS, "CPUs in stats")
    expect(stats["net"]["driver"].startswith(NICS[nic]), f"driver of {nic}: {stats['net']['driver']}")
    expect(stats["net"]["address"].startswith("10.0.2."), f"no DHCP address: {stats['net']['address']}")
    expect(stats["net"]["interrupts"] > 0, "the network card never interrupted")
    yield f"{stats['net']['driver']} has {stats['net']['address']} by DHCP, {stats['net']['interrupts']} interrupts"
    expect_equal(machine.control.must("list")["guests"], [], "guests")
    yield "list and stats answer over TCP"
    reply = machine.control.must_fail("start hello", ["no guests on this pod"])
    yield f"start is refused: {reply['error']}"
    machine.control.must("selftest kernel", 60)
    yield "the kernel's own tests pass"


def boot(nic, directory, say=print):
    settings = Machine(platform="qemu", cpus=CPUS, nic=nic)
    say(f"---- {settings.describe()}")
    machine = make(settings, Pod(f"pod-{nic}", [Guest("hello")]), directory / nic)
    started = time.monotonic()
    with machine:
        for sentence in check_pod(machine, nic):
            say(f"  {sentence}")
        say("  " + check_screen(machine, directory))
        machine.control.must("shutdown")
        wait_until(lambda: not machine.alive(), 60, "the pod did not power off")
        say(f"  powered off; {time.monotonic() - started:.1f} s")


def run_qemu():
    directory = places.BUILD / "run-qemu"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for nic in NICS:
        boot(nic, directory)
    print("run-qemu: all is as it should be")
    return 0
