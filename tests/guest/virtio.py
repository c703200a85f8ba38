"""Virtio devices from inside: disk, network, console, random numbers; and what a driver must not do, in all their queues."""
import re
import threading
import time

from tests.guest.one_pod import OnePod
from tools.lab.errors import expect, expect_equal

DISK = "memory=4M disk_size=4M devices=block"
ALL = "memory=4M disk_size=2M devices=net,block,console,entropy"
KICK_LIMIT = 1500       # instructions: exit.virtio_kick


def block(fixture: OnePod):
    """Every sector of a disk, written and read twice; requests that the disk must refuse."""
    text = fixture.must_pass("virtio_block", f"{DISK} cmdline=count=3", 60)
    expect("virtio_block: 8192 sectors" in text and "round 3 ok" in text, f"it said {text[-300:]!r}")


def entropy(fixture: OnePod):
    fixture.must_pass("virtio_entropy", "memory=4M devices=entropy")


def console(fixture: OnePod):
    """Input goes where the guest spoke last: to the virtio console, to COM1, and back."""
    name = "virtio_console"
    fixture.must(f"start {name} memory=4M devices=console")
    for line, answer in ((None, "hello by virtio\n"), ("hello 1", "HELLO 1\n"), ("serial", "now by COM1\n"), ("seen", "seen\n"), (None, "virtio_console: back\n"),
                         ("two", "TWO\n")):
        if line:
            fixture.must(f"console {name} input=\"{line}\\n\"")
        wait_said(fixture, name, answer)
    fixture.must(f"console {name} input=\"end\\n\"")
    expect_equal(fixture.wait_halted(name, 10)["reason"], "exit code 0", "end of virtio_console")
    fixture.must(f"stop {name}")


def wait_said(fixture, name, words, seconds=10):
    deadline = time.monotonic() + seconds
    while words not in fixture.said(name):
        expect(time.monotonic() < deadline, f"{name} never said {words!r}, but {fixture.said(name)[-200:]!r}")
        time.sleep(0.1)


def net(fixture: OnePod):
    """Two guests on the pod's switch: every frame comes back as it was, and neither sees what is not for it."""
    fixture.must("start echo image=virtio_net.elf memory=4M devices=net cmdline=\"role=echo count=0 size=900\"")
    try:
        text = fixture.must_pass("virtio_net", "memory=4M devices=net cmdline=\"count=300 size=900\"", 60)
        expect("300 frames came back" in text, f"it said {text[-200:]!r}")
        expect_equal(fixture.guest("echo")["state"], "running", "the other guest")
    finally:
        fixture.pod.control.call("stop echo")


def abuse(fixture: OnePod):
    """Each misdeed in each queue of each device; beside it frames come in and input is typed, so that receive queues are looked at."""
    fixture.must("start shouter image=virtio_net.elf memory=4M devices=net cmdline=\"count=0\"")
    done = threading.Event()

    def type_on():
        control = fixture.pod.open_control()
        while not done.wait(0.05):
            control.call("console virtio_abuse input=\"x\"")
        control.close()

    typist = threading.Thread(target=type_on, daemon=True)
    typist.start()
    try:
        text = fixture.must_pass("virtio_abuse", f"{ALL} cmdline=wait=30", 150)
    finally:
        done.set()
        typist.join(10)
        fixture.pod.control.call("stop shouter")
    expect("virtio_abuse: 4 devices survived\n" in text, f"it said {text[-300:]!r}")


def kick(fixture: OnePod):
    text = fixture.must_pass("virtio_bench", "memory=4M devices=entropy")
    found = re.search(r"virtio_kick instructions_per_exit (\d+)", text)
    expect(found and int(found[1]) <= KICK_LIMIT, f"a kick costs more than {KICK_LIMIT} instructions: {text!r}")
