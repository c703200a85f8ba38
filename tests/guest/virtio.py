"""Virtio devices from inside: disk, network, console, random numbers; and what a driver must not do, in all their queues."""
import re

from tests.guest.one_pod import OnePod
from tools.lab import laboratory, linux
from tools.lab.errors import expect, expect_equal
from tools.lab.waiting import wait_until


DISK = "memory=4M disk_size=4M devices=block"
ALL = "memory=4M disk_size=2M devices=net,block,console,entropy"
DRIVERS_ADDRESS = "10.0.2.78/24"
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
    wait_until(lambda: words in fixture.said(name), seconds, lambda: f"{name} never said {words!r}, but {fixture.said(name)[-200:]!r}")


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
    session = fixture.pod.open_control()
    session.begin("list")

    def type_on():
        if session.answered():
            session.begin("console virtio_abuse input=\"x\"")

    typist = laboratory.current().every(0.05, type_on)
    try:
        text = fixture.must_pass("virtio_abuse", f"{ALL} cmdline=wait=30", 150)
    finally:
        typist.stop()
        session.close()
        fixture.pod.control.call("stop shouter")
    expect("virtio_abuse: 4 devices survived\n" in text, f"it said {text[-300:]!r}")


def same_mac(fixture: OnePod):
    """A second guest with the MAC address of the first is refused; after the first has gone it may start."""
    start = "image=virtio_net.elf memory=4M devices=net mac=02:00:00:00:00:77 cmdline=\"role=echo count=0\""
    fixture.must(f"start first {start}")
    fixture.pod.control.must_fail(f"start second {start}", ["02:00:00:00:00:77"])
    fixture.must("stop first")
    fixture.must(f"start second {start}")
    fixture.must("stop second")


def kick(fixture: OnePod):
    text = fixture.must_pass("virtio_bench", "memory=4M devices=entropy")
    found = re.search(r"virtio_kick instructions_per_exit (\d+)", text)
    expect(found and int(found[1]) <= KICK_LIMIT, f"a kick costs more than {KICK_LIMIT} instructions: {text!r}")


def linux_drivers(words, interrupts):
    """Linux's own drivers: a disk that keeps what is written, random numbers, the console, the network; by these interrupts."""
    def test(fixture):
        start = fixture.pod.com2.log.position
        fixture.pod.control.must(f"start drivers image={linux.KERNEL} initrd={linux.INITRD} memory=96M console=com2 disk_size=16M "
                                 f"devices=net,block,console,entropy cmdline=\"{linux.CONSOLE} {linux.QUICK} {words} address={DRIVERS_ADDRESS}\"")
        try:
            shell = linux.Shell(fixture.pod, "drivers", start)
            shell.wait()
            shell.run("for i in 1 2 3 4 5 6 7 8 9; do ip -4 address show dev eth0 | grep -q inet && break; sleep 1; done; "
                      "ping -c 3 10.0.2.2", 60)
            expect("telepod-disk" in shell.run("cat /sys/block/vda/serial"), "the disk has no name")
            shell.run("head -c 200000 /dev/hwrng > /tmp/random && dd if=/tmp/random of=/dev/vda conv=fsync 2> /dev/null", 60)
            shell.run("echo 3 > /proc/sys/vm/drop_caches; head -c 200000 /dev/vda | cmp - /tmp/random", 60)
            shell.run("gzip -c /tmp/random > /tmp/packed; [ $(wc -c < /tmp/packed) -gt 200000 ]", 60)
            expect("spoken by hvc0" in shell.run("echo spoken by hvc0 > /dev/hvc0; sleep 1"), "the virtio console is silent")
            lines = [line for line in shell.run("cat /proc/interrupts").split("\n") if "virtio" in line]
            expect(lines and all(interrupts in line for line in lines), f"interrupts: {lines}")
        finally:
            fixture.pod.control.call("stop drivers")

    return test
