"""Teleports that succeed: nothing is lost, whatever the guest does meanwhile."""
import time

from tests.pods.two_pods import TwoPods
from tools.lab import oracle
from tools.lab.errors import expect, expect_equal
from tools.lab.pair import QUIET_S, Traveller

# The emulator holds each machine's clock to the host's in steps, so the two drift against each other within a teleport.
CLOCK_SLACK_US = 10_000
BUSY = "cmdline=\"rate=4 check=16 set=256\""


def ten_times(pods: TwoPods):
    """There and back, ten times, with every page checked all the time; resources come back."""
    dirtier = pods.traveller("dirtier", BUSY)
    dirtier.move()
    dirtier.move()                       # once around, so that heaps are as large as they get
    before = pods.resources()
    for _ in range(10):
        dirtier.run_for(0.2)
        dirtier.move()
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)
    expect_equal(pods.resources(), before, "resources of both pods after ten teleports")
    dirtier.stop()


def clock(pods: TwoPods):
    guest = pods.traveller("clock", "cmdline=hz=100")
    for _ in range(4):
        guest.run_for(0.5)
        guest.move()
    guest.run_for(0.5)
    expect(oracle.check_clock(guest.text) > 150, "too few ticks")
    guest.stop()


def fpu(pods: TwoPods):
    guest = pods.traveller("fpu", "cmdline=\"hz=50 count=0\"")
    for _ in range(3):
        guest.run_for(0.5)
        guest.move()
    guest.run_for(0.5)
    expect(oracle.check_state_ticks(guest.text) > 50, f"too few ticks: {guest.text[-200:]!r}")
    guest.stop()


def beside(pods: TwoPods):
    """One guest goes, another one stays on the same CPU; then the other one follows."""
    dirtier = pods.traveller("dirtier", BUSY)
    start = pods.a.log.position
    pods.a.control.must("start clock cmdline=hz=20")
    dirtier.run_for(0.5)
    dirtier.move()
    time.sleep(0.5)
    pods.a.control.must("pause clock")
    pods.a.wait_log(r"\[clock\] tick 20 ", 5, start)
    pods.a.control.must("resume clock")
    pods.a.control.must(f"teleport clock {pods.b.peer_address} audit=1", 40)
    names = sorted(guest["name"] for guest in pods.b.control.must("list")["guests"])
    expect_equal(names, ["clock", "dirtier"], "guests of pod-b")
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)
    pods.clear()


def side_by_side(pods: TwoPods):
    """Two at once, in both directions."""
    dirtier = pods.traveller("dirtier", BUSY)
    pods.b.control.must("start clock cmdline=hz=50")
    session = pods.b.open_control()
    session.begin(f"teleport clock {pods.a.peer_address} audit=1")
    dirtier.move()
    reply = session.finish(40)
    session.close()
    expect(reply["ok"] and reply["flight"]["audit"]["different"] == 0, f"the other one: {reply}")
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)
    pods.clear()


def paused(pods: TwoPods):
    """An operator's pause travels with the guest."""
    dirtier = pods.traveller("dirtier")
    dirtier.run_for(0.5)
    pods.a.control.must("pause dirtier")
    dirtier.pod.com2.log.wait_quiet(0.1, 2)
    dirtier.move()
    expect_equal(pods.guest(pods.b, "dirtier")["state"], "paused", "state after the move")
    length = len(dirtier.here)
    time.sleep(0.5)
    expect_equal(len(dirtier.here), length, "output of a paused guest")
    pods.b.control.must("resume dirtier")
    dirtier.run_for(0.5)
    dirtier.verify_memory()
    expect(oracle.check_dirtier(dirtier.text) > 50, "it does not go on")
    dirtier.stop()


def burning(pods: TwoPods):
    """A guest that writes as fast as it can never converges: rounds run out, it is stopped, and nothing is lost."""
    dirtier = pods.traveller("dirtier", "cmdline=\"mode=burn set=512\" memory=16M")
    dirtier.run_for(0.3)
    reply = pods.failed_teleport(dirtier, "rounds=3 giveup downtime=1000", ["faster"])
    expect_equal(len(reply["flight"]["rounds"]), 3, "rounds")
    flight = dirtier.move("audit=1 rounds=4")
    expect(flight["downtime_us"] > 0 and len(flight["rounds"]) <= 4, f"rounds: {len(flight['rounds'])}")
    start = pods.b.control.must("console dirtier position=0")["position"]
    time.sleep(0.3)
    pods.b.control.must(f"console dirtier position={start} input=v follow=1", 30)
    deadline = time.monotonic() + 20
    said = []
    while "verified all" not in "".join(said):
        expect(time.monotonic() < deadline, "no verdict of the guest")
        said = []
        pods.b.control.must("console dirtier position=0", 20, lambda event: said.append(event.get("text", "")))
    expect("mismatches 0" in "".join(said) and "MISMATCH" not in "".join(said), f"the guest: {''.join(said)[-300:]!r}")
    dirtier.stop()


def spinning(pods: TwoPods):
    """A guest that never leaves guest mode by itself."""
    pods.clear()
    pods.a.control.must("start spin_cli")
    reply = pods.a.control.must(f"teleport spin_cli {pods.b.peer_address} audit=1", 40)
    expect_equal(reply["flight"]["audit"]["different"], 0, "frames that differ")
    expect_equal(pods.guest(pods.b, "spin_cli")["state"], "running", "state")
    pods.clear()


def flight_record(pods: TwoPods):
    """What the issue promises of it: phases of both pods on one axis, in order; rounds; floor below downtime."""
    guest = pods.traveller("dirtier")
    guest.run_for(0.3)
    flight = guest.move()
    for key in ("downtime_us", "floor_us", "total_us", "bytes", "rounds", "phases"):
        expect(flight.get(key), f"the flight record has no {key}")
    expect_equal({phase["pod"] for phase in flight["phases"]}, {"pod-a", "pod-b"}, "pods with phases")
    last = flight["total_us"] + CLOCK_SLACK_US
    for phase in flight["phases"]:
        expect(0 <= phase["start_us"] <= phase["end_us"] <= last, f"a phase off the axis: {phase}, total {flight['total_us']}")
    expect(flight["downtime_us"] < flight["total_us"], "downtime longer than the whole")
    zero_cost = flight["rounds"][0]["bytes"] / max(flight["rounds"][0]["pages"], 1)
    expect(zero_cost < 4096 * 0.3, f"zero pages cost too much: {zero_cost:.0f} bytes a page")
    guest.stop()


def second_cpu(pods: TwoPods):
    """The guest runs on a CPU that does not own the network."""
    pods.clear()
    guest = Traveller(pods, "dirtier", "cpu=1 " + BUSY)
    expect_equal(pods.guest(pods.a, "dirtier")["cpu"], 1, "CPU")
    for _ in range(2):
        guest.run_for(0.5)
        guest.move(seconds=80)
    guest.verify_memory()
    oracle.check_dirtier(guest.text)
    guest.stop()


def several_vcpus(vcpus, moves=4):
    """All vCPUs of a guest that tries them hard; each move takes all of them at one instant, or the guest would notice."""
    def test(pods: TwoPods):
        guest = pods.traveller("smp", f"vcpus={vcpus} cmdline=\"cpus={vcpus} rounds=0\"")
        for _ in range(moves):
            guest.run_for(0.7)
            guest.move(seconds=80)
            expect_equal(pods.guest(guest.pod, "smp")["vcpus"], vcpus, "vCPUs after the move")
        guest.run_for(0.7)
        expect(oracle.check_smp(guest.text) > 5 * moves, f"too few rounds: {guest.text[-300:]!r}")
        expect(oracle.check_smp(guest.text) > oracle.check_smp(guest.text[:-len(guest.here)]), "no round after the last move")
        guest.stop()
        guest.pod.com2.log.wait_quiet(QUIET_S, 5)        # it says much: the next guest's line begins after it

    return test
