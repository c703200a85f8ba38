"""Teleports that succeed: nothing is lost, whatever the guest does meanwhile."""
from tests.pods.two_pods import TwoPods
from tools.lab import oracle
from tools.lab.errors import expect, expect_equal
from tools.lab.pair import Traveller
from tools.lab.waiting import wait_until


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
    pods.expect_resources(before, "resources of both pods after ten teleports")
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
    pods.a.wait_log(r"\[clock\] tick 20 ", 20, start)
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
    dirtier.move()
    expect_equal(pods.guest(pods.b, "dirtier")["state"], "paused", "state after the move")
    length = pods.b.com2_end()
    dirtier.run_for(0.5)
    expect_equal(pods.b.com2_end(), length, "output of a paused guest")
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
    dirtier.verify_memory()
    expect("MISMATCH" not in dirtier.text, f"the guest: {dirtier.text[-300:]!r}")
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
    last = flight["total_us"] + flight["clock"]["offset_error_us"]
    off_axis = [phase for phase in flight["phases"] if not 0 <= phase["start_us"] <= phase["end_us"] <= last]
    expect(not off_axis, f"phases off the axis: {off_axis}, total {flight['total_us']}")
    expect_equal(flight["clock"]["steps"], 0, "steps of the pods' clocks against each other")
    for key in ("downtime_us", "floor_us", "total_us", "bytes", "rounds", "phases"):
        expect(flight.get(key), f"the flight record has no {key}")
    expect_equal({phase["pod"] for phase in flight["phases"]}, {"pod-a", "pod-b"}, "pods with phases")
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
            goes_on(guest)
            guest.move(seconds=80)
            expect_equal(pods.guest(guest.pod, "smp")["vcpus"], vcpus, "vCPUs after the move")
        goes_on(guest)
        guest.stop()

    def goes_on(guest):
        rounds = oracle.check_smp(guest.text)
        guest.run_for(0.5)
        wait_until(lambda: oracle.check_smp(guest.text) > rounds + 5, 30, lambda: f"no more rounds: {guest.text[-300:]!r}")

    return test
