"""Guests, files and operators that do what they must not: a sentence says what and where, and everything else goes on."""
import json
import re

from tests.guest.one_pod import SETTINGS, OnePod
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.machine import CONTROL_PORT
from tools.lab.pair import expect_back, resources, settled
from tools.lab.waiting import deadline

NOISY_LATE_MS = 20      # six slices of a millisecond each, and some


def apic_abuse(fixture: OnePod):
    for seed in (1, 2, 3):
        fixture.must_pass("apic_abuse", f"cmdline=\"turns=2000 seed={seed}\"", 50)


def triple(fixture: OnePod):
    reason, _ = fixture.run_guest("triple")
    expect("triple fault" in reason and "RIP 0x" in reason, f"reason: {reason!r}")


def spin(fixture: OnePod):
    fixture.must("start spin_cli")
    fixture.pod.run_for(1)
    expect_equal(fixture.guest("spin_cli")["state"], "running", "state of spin_cli")
    fixture.check_metronome()
    fixture.must("pause spin_cli")
    fixture.must("resume spin_cli")
    fixture.must("stop spin_cli")


def noisy(fixture: OnePod):
    """Guests that print more than the pod's serial line carries: a clock beside them is late by its share of the CPU at most."""
    names = [f"noisy{i}" for i in range(6)]
    for name in names:
        fixture.must(f"start {name} image=clock.elf memory=2M cmdline=hz=2000")
    fixture.pod.run_for(0.5)        # until the ring before the line is full
    position = fixture.pod.com2.log.position
    fixture.pod.run_for(0.5)
    late = [int(ticks) for ticks in re.findall(r"^tick \d+ tsc \d+ late (\d+)$", fixture.pod.com2.log.text(position), re.M)]
    for name in names:
        fixture.must(f"stop {name}")
    expect(late, "the clock beside does not tick any more")
    limit = SETTINGS.ips * NOISY_LATE_MS // 1000
    expect(max(late) < limit, f"a tick of the clock beside was {max(late)} TSC ticks late, more than {limit}")


def outside(access):
    def test(fixture: OnePod):
        if access != "execute":
            fixture.must_pass("outside", f"cmdline=access={access}")
            return
        reason, text = fixture.run_guest("outside", f"cmdline=access={access}")
        expect("fetch from 0x2000000" in reason and "outside its 32 MiB" in reason,
               f"reason: {reason!r}; the guest said {text[-200:]!r}")

    return test


def pc_devices(fixture: OnePod):
    fixture.must_pass("pc", "devices=net,entropy,console", 40)


def refused_instruction(fixture: OnePod):
    reason, text = fixture.run_guest("pc", "cmdline=end=refused", 40)
    expect("not emulated" in reason and "0xfec00010" in reason and " ff 30 " in reason,
           f"reason: {reason!r}; the guest said {text[-200:]!r}")


def ports(fixture: OnePod):
    fixture.must_pass("ports", "", 110)


def msrs(fixture: OnePod):
    fixture.must_pass("msrs", "", 80)


def control(fixture: OnePod):
    fixture.must_pass("control")


def hypercall(fixture: OnePod):
    fixture.must_pass("hypercall")


def bad_file(name, words):
    def test(fixture: OnePod):
        fixture.pod.control.must_fail(f"start {name}", [f"image {name}.elf: ", words])
        fixture.pod.control.must_fail(f"stop {name}", ["no guest"])

    return test


def too_much_memory(fixture: OnePod):
    before = settled(fixture.pod, resources)
    fixture.pod.control.must_fail("start big image=hello.elf memory=4G", ["asks for 4096 MiB of memory", "lacks"])
    expect_back(fixture.pod, resources, before, "resources after the refusal")


def until_memory_is_gone(fixture: OnePod):
    fill_memory(fixture)            # once, so that the heap is as large as it will be
    before = settled(fixture.pod, resources)
    fill_memory(fixture)
    expect_back(fixture.pod, resources, before, "resources after all were stopped")


def fill_memory(fixture):
    started = []
    while (reply := fixture.pod.control.call(f"start g{len(started)} image=clock.elf memory=64M"))["ok"]:
        started.append(f"g{len(started)}")
        expect(len(started) < 40, "memory never runs out")
    expect("memory" in reply["error"], f"refusal: {reply['error']!r}")
    fixture.check_metronome()
    for name in started:
        fixture.must(f"stop {name}")


def commands(fixture: OnePod):
    trials = [("start", ["usage"]), ("start nobody", ["nobody"]), ("start clock memory=3", ["memory"]),
              ("start clock memory=3M", ["2M"]), ("start clock cpu=7", ["no CPU 7"]), ("start metronome image=clock.elf", ["already"]),
              ("start 1x image=clock.elf", ["name"]), ("start x image=../y", ["file"]), ("stop nobody", ["no guest"]),
              ("teleport nobody 10.0.2.2:1", ["no guest"]), ("teleport metronome 10.0.2", ["peer"]),
              ("teleport metronome 10.0.2.2:99999", ["peer"]), ("resume metronome", ["running"]), ("list 7", ["7"]),
              ("start \"x", ["quote"]), ("selftest nothing", ["no self-test"]), ("a=b", ["command"]),
              ("teleport metronome 10.0.2.2 cut=" + "x" * 99, ["cut"])]
    for command, words in trials:
        fixture.pod.control.must_fail(command, words)


def noise(fixture: OnePod):
    """Bytes of all kinds, cut connections, far too long lines: each line gets one JSON answer, or the session ends."""
    garbage = [bytes(range(256)) * 3 + b"\n", b"\xff\xfe\0\n", b"x" * 70000 + b"\n", b"{\"json\":true}\n", b"\n\n\n\r\n\n",
               b"list" + b" " * 5000 + b"\n", b"GET / HTTP/1.1\r\nHost: pod\r\n\r\n"]
    for data in garbage:
        session = fixture.pod.open_control()
        session.send(data + b"list\n")
        end = deadline(10)
        while not session.read_object(end).get("guests"):
            pass
        session.close()
    for data in (b"lis", b"x" * 3000, b""):
        with fixture.pod.connect(CONTROL_PORT) as half:
            half.sendall(data)
    reply = fixture.must("list")
    json.dumps(reply)
    if [guest["name"] for guest in reply["guests"]] != ["metronome"]:
        raise Failure(f"guests after the noise: {reply['guests']}")
