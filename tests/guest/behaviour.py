"""What guests may rely on."""
import re

from tests.guest.one_pod import OnePod
from tools.lab import oracle
from tools.lab.errors import expect, expect_equal
from tools.lab.pair import expect_back, resources, settled
from tools.lab.waiting import wait_until


def hello(fixture: OnePod):
    reason, text = fixture.run_guest("hello")
    for mode in ("real mode", "protected mode", "long mode"):
        expect(f"hello: {mode}" in text, f"hello does not report {mode}: {text!r}")
    expect("HLT with interrupts off" in reason, f"reason of the end: {reason!r}")


def clock(fixture: OnePod):
    text = fixture.must_pass("clock", "cmdline=\"hz=200 count=300\"")
    expect_equal(oracle.check_clock(text), 300, "ticks")


def dirtier(fixture: OnePod):
    text = fixture.must_pass("dirtier", "cmdline=\"mode=lines rate=20 check=40 hz=200 report=100 count=600\"")
    expect("verified all 8192 pages mismatches 0" in text, f"dirtier said {text[-300:]!r}")


def spoilt(fixture: OnePod):
    """The test's test: a bit that changes must be seen."""
    reason, text = fixture.run_guest("dirtier", "cmdline=\"mode=lines hz=200 report=100 count=10 spoil=3000\"")
    expect("MISMATCH page 3000" in text and reason == "exit code 1", f"not noticed: {reason}, {text[-300:]!r}")


def inject(fixture: OnePod):
    fixture.must_pass("inject", "cmdline=\"turns=5000\"", 80)


def apic(fixture: OnePod):
    fixture.must_pass("apic")


# Instructions of the whole turn: issue 3's figures. What the processor virtualizes must need no exit at all.
EXIT_LIMITS = {"cpuid": 400, "msr": 500, "tsc_deadline": 600, "port": 600, "uart": 700, "lapic_read": 10, "ipi": 10, "cr8": 10,
               "ioapic_read": 3000, "xapic_read": 10, "xapic_ipi": 10}


def exit_costs(fixture: OnePod):
    text = fixture.must_pass("exit_bench")
    costs = dict(re.findall(r"^(\w+) instructions_per_exit (\d+)$", text, re.M))
    for name, limit in EXIT_LIMITS.items():
        expect(int(costs[name]) <= limit, f"{name}: {costs[name]} instructions, more than {limit}")


def exceptions(fixture: OnePod):
    fixture.must_pass("exceptions", "", 60)


def cut_short(fixture: OnePod):
    """For two seconds the pod takes pages away under the guests' feet, so that VM exits fall into deliveries of events."""
    fixture.must("start inject cmdline=\"turns=20000\"")
    reply = fixture.must("selftest delivery", 30)
    expect(reply["value"] > 100, f"only {reply['value']} deliveries were cut short")
    guest = fixture.wait_halted("inject", 120)
    text = fixture.said("inject")
    fixture.must("stop inject")
    expect("inject: pass" in text, f"inject: {guest['reason']}: {text[-300:]!r}")


def fpu(fixture: OnePod):
    fixture.must_pass("fpu", "cmdline=\"hz=50 count=100\"", 40)


def fpu_side_by_side(fixture: OnePod):
    names = ["fpu1", "fpu2", "fpu3"]
    for seed, name in enumerate(names, 1):
        fixture.must(f"start {name} image=fpu.elf memory=4M cmdline=\"hz=50 count=100 seed={seed}\"")
    for name in names:
        guest = fixture.wait_halted(name, 40)
        text = fixture.said(name)
        fixture.must(f"stop {name}")
        expect("fpu: pass" in text and guest["reason"] == "exit code 0", f"{name}: {guest['reason']}: {text[-300:]!r}")


def side_by_side(fixture: OnePod):
    """Guests that halt, one that never does, and the clock of the fixture, all on one CPU."""
    fixture.must("start spin_cli memory=4M")
    for i in range(3):
        fixture.must(f"start clock{i} image=clock.elf memory=4M cmdline=\"hz=50 count=100\"")
    fixture.must("start dirtier memory=16M cmdline=\"mode=lines rate=4 hz=100 report=100 count=200 content=2\"")
    for i in range(3):
        guest = fixture.wait_halted(f"clock{i}", 40)
        expect_equal(guest["reason"], "exit code 0", f"end of clock{i}")
        expect_equal(oracle.check_clock(fixture.said(f"clock{i}")), 100, "ticks")
        fixture.must(f"stop clock{i}")
    expect_equal(fixture.wait_halted("dirtier", 40)["reason"], "exit code 0", "end of dirtier")
    expect_equal(fixture.guest("spin_cli")["state"], "running", "state of spin_cli")
    fixture.must("stop dirtier")
    fixture.must("stop spin_cli")


def console(fixture: OnePod):
    fixture.must("start dirtier cmdline=\"hz=200\"")
    fixture.must("console dirtier input=v")
    wait_until(lambda: "verified all 8192 pages mismatches 0" in fixture.said("dirtier"), 20,
               lambda: f"no answer to the letter v: {fixture.said('dirtier')[-200:]!r}")
    fixture.must("stop dirtier")
    fixture.pod.control.must_fail("console dirtier", ["no guest dirtier"])


def pause_resume(fixture: OnePod):
    fixture.must("start clock cmdline=hz=100")
    fixture.pod.run_for(0.3)
    expect_equal(fixture.must("pause clock")["state"], "paused", "state")
    fixture.pod.run_for(0.2)
    before = fixture.said("clock")
    fixture.pod.run_for(0.5)
    expect_equal(fixture.said("clock"), before, "output of a paused guest")
    fixture.pod.control.must_fail("pause clock", ["paused"])
    expect_equal(fixture.must("resume clock")["state"], "running", "state")
    wait_until(lambda: len(fixture.said("clock")) > len(before), 10, "the guest does not go on after resume")
    text = fixture.said("clock")
    fixture.must("stop clock")
    oracle.check_clock(text)


def serial_commands(fixture: OnePod):
    log = fixture.pod.com1.log
    start = log.position
    fixture.pod.com1.write(b"list\r")
    log.wait_for(r'^\{"ok":true,.*"metronome".*\}$', 10, start, fixture.pod.alive)
    start = log.position
    fixture.pod.com1.write(b"frobnicate\r")
    log.wait_for(r'^\{"ok":false,.*frobnicate.*\}$', 10, start, fixture.pod.alive)


def selftest(fixture: OnePod):
    """Some tests fill the whole heap; a guest runs meanwhile."""
    fixture.must("selftest kernel", 50)


def nothing_left(fixture: OnePod):
    """Guests come and go: pages, heap, threads and buffers come back."""
    def cycle():
        for name in ("hello", "triple", "clock"):
            fixture.must(f"start {name}")
        fixture.pod.run_for(0.3)
        for name in ("hello", "triple", "clock"):
            fixture.must(f"stop {name}")

    cycle()
    before = settled(fixture.pod, resources)
    for _ in range(5):
        cycle()
    expect_back(fixture.pod, resources, before, "resources after five rounds of guests")
