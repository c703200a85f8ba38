"""Guests on the LAN: reached before and after a teleport, announced after COMMIT and never before, seen by others only as
a switch would show them."""

from tests.pods.lan_pods import ADDRESS, BROADCAST, LanPods
from tests.pods.two_pods import TwoPods
from tools.lab import oracle, waiting, witness
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.observer import TYPE_ARP, TYPE_RARP
from tools.lab.probe import answers, questions
from tools.lab.waiting import wait_until

ANNOUNCE_TIMES = 5
ANNOUNCE_SECONDS = 10           # until the last of them, and more
LISTENER, LISTENER_OPTION = "192.168.77.51", "0xc0a84d33"
TYPE_EXPERIMENTAL = 0x88b5      # what net_echo floods with
MOVES = 10
SETTLE_S = 0.35
ANSWERS_ENOUGH = 200            # of a guest that is asked all the time
ANSWERS_MIN, ANSWER_SECONDS = 10, 20    # after a move


def reached(pods: LanPods):
    """ping and ARP before the move and after it, there and back."""
    pods.clear()
    pods.begin()
    source = pods.a
    for _ in range(2):
        expect_equal(pods.ping(), 5, f"answers to five pings, on {source.name}")
        pods.move("net_echo", source)
        source = pods.other(source)
    expect_equal(pods.ping(), 5, f"answers to five pings, on {source.name}")
    for pod in pods.pods:
        expect(pod is source or pods.port_of(pod, "net_echo") is None, f"{pod.name} still has a port for the guest")
    pods.clear()


def announcements(pods, mac):
    """How many of each kind there were so far."""
    kinds = [frame.kind for frame in pods.of_guest(mac) if frame.is_announcement]
    return {"RARP": kinds.count(TYPE_RARP), "ARP": kinds.count(TYPE_ARP)}


def announced(pods: LanPods):
    """After COMMIT: gratuitous ARP for its address and RARP, five times, from the target alone; nothing before."""
    pods.clear()
    mac = pods.begin()
    expect_equal(pods.ping(), 5, "answers to five pings")
    pods.observer.forget()
    with pods.prober(ADDRESS):
        waiting.sleep(0.2)
        pods.move("net_echo", pods.a)
        wait_until(lambda: min(announcements(pods, mac).values()) >= ANNOUNCE_TIMES, ANNOUNCE_SECONDS,
                   lambda: f"announcements: {announcements(pods, mac)}")
    frames = pods.of_guest(mac)
    told = [frame for frame in frames if frame.is_announcement]
    expect_equal({frame.port for frame in told}, {pods.port(pods.b)}, "where announcements came from")
    last = max(frame.when for frame in frames if frame.port == pods.port(pods.a))
    first = min(frame.when for frame in frames if frame.port == pods.port(pods.b))
    expect(told[0].when > last, f"announced {(last - told[0].when) / 1e6:.2f} ms before the last frame of the source")
    expect_equal(told[0].when, first, "time of the first frame on the target and of the first announcement")
    address = bytes(map(int, ADDRESS.split(".")))
    for frame in told:
        expect(frame.destination == BROADCAST and frame.data[22:28] == mac, f"an announcement: {frame.data.hex()}")
        expect(frame.kind == TYPE_RARP or frame.data[28:32] == address, f"announced for: {frame.data[28:32].hex('.')}")
    pods.clear()


def silent_before_commit(pods: LanPods):
    """A teleport that is cut at any step up to COMMIT: the target never says a word for the guest."""
    pods.clear()
    mac = pods.begin()
    expect_equal(pods.ping(), 5, "answers to five pings")
    pods.observer.forget()
    with pods.prober(ADDRESS):
        for step in ("round:0", "residue", "state", "prepare", "commit"):
            reply = pods.a.control.call(f"teleport net_echo {pods.b.peer_address} cut={step}", 40)
            expect(not reply["ok"], f"the teleport succeeded although it was cut at {step}")
            wait_until(lambda: pods.guest(pods.a, "net_echo")["state"] == "running", 20, f"not running again after {step}")
            waiting.sleep(0.3)
    ports = {frame.port for frame in pods.of_guest(mac)}
    expect_equal(ports, {pods.port(pods.a)}, "where frames of the guest came from")
    expect(not any(frame.is_announcement for frame in pods.of_guest(mac)), "it was announced although it did not move")
    expect_equal(pods.ping(), 5, "answers to five pings after five failed teleports")
    pods.move("net_echo", pods.a)
    expect_equal(pods.ping(), 5, "answers to five pings after the move")
    pods.clear()


# ---- what guests can do to each other ------------------------------------------------------------------------------------


def strangers(pods: LanPods):
    """Two guests on a pod: one is asked much, the other one is shown none of it."""
    pods.clear()
    pods.begin("listener", more=f'cmdline="address={LISTENER_OPTION} report=1"')
    mac = pods.begin()
    with pods.prober(ADDRESS):
        expect_equal(pods.ping(), 5, "answers to five pings")
        expect_equal(pods.ping(LISTENER), 5, "answers of the listener to five pings")
        wait_until(lambda: len(pods.of_guest(mac)) > ANSWERS_ENOUGH, 20, "the other guest hardly answers")
        start = pods.a.log.position
        report = pods.a.wait_log(r"\[listener\] net_echo: strangers (\d+) answers", 20, start)
    expect_equal(int(report[1]), 0, "frames for others that the listener was shown")
    expect(pods.port_of(pods.a, "listener")["received"] < pods.port_of(pods.a, "net_echo")["received"] / 2,
           "the listener's port was given as much as the other's")
    pods.clear()


def impostor(pods: LanPods):
    """A guest that sends with another's address is not heard; what it sends with its own is."""
    pods.clear()
    start = pods.a.log.position
    mac = pods.begin(more='cmdline="spoof=1 storm=2"')
    expect_equal(pods.ping(), 5, "answers to five pings")
    wait_until(lambda: pods.port_of(pods.a, "net_echo")["dropped_source"] > 20, 10, "its port drops hardly anything")
    foreign = {frame.source for frame in pods.observer.frames() if frame.kind == TYPE_EXPERIMENTAL}
    expect(not foreign, f"frames with addresses that are nobody's: {foreign}")
    expect(len(pods.of_guest(mac)) >= 5, "nothing was heard of the guest")
    said = pods.a.log.text(start).count("addresses that are not its own")
    expect_equal(said, 1, "times that the pod told of it")
    pods.clear()


def flood(pods: LanPods):
    """A guest that sends as fast as it can: another one beside it is reached all the same, and moves."""
    pods.clear()
    pods.begin()
    pods.begin("flooder", more=f'cmdline="address={LISTENER_OPTION} flood=32"')
    expect(pods.ping(LISTENER, 1) == 1, "the flooder does not answer")
    wait_until(lambda: pods.port_of(pods.a, "flooder")["sent"] > 1000, 20, "the flooder does not flood")
    expect_equal(pods.ping(count=10, interval=0.1), 10, "answers to ten pings, beside a flood")
    flight = pods.move("net_echo", pods.a, "audit=1")
    expect_equal(flight["audit"]["different"], 0, "frames that differ")
    expect_equal(pods.ping(count=10, interval=0.1), 10, "answers to ten pings, after the move")
    expect_equal(pods.guest(pods.a, "flooder")["state"], "running", "state of the flooder")
    pods.clear()


def storm(pods: TwoPods):
    """Guests on the card that carries the teleports, one of them broadcasting without end: a teleport still gets through."""
    dirtier = pods.traveller("dirtier")
    pods.a.control.must('start flooder image=net_echo.elf devices=net cmdline="storm=32"')
    wait_until(lambda: any(port["sent"] > 1000 for port in pods.a.control.must("stats")["switch"]), 20, "there is no storm")
    for _ in range(2):
        dirtier.run_for(0.3)
        dirtier.move()
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)
    pods.clear()


# ---- three witnesses ----------------------------------------------------------------------------------------------------


def one_move(pods, name, source):
    """Moves a guest that is asked by a prober away from `source`: the testimony of the three."""
    target = pods.other(source)
    waiting.sleep(SETTLE_S)
    pods.observer.forget()
    waiting.sleep(SETTLE_S)
    flight = pods.move(name, source, seconds=240)
    moved = pods.laboratory.now_ns
    wait_until(lambda: sum(answer.port == pods.port(target) for answer in answers(pods.observer.frames(moved))) >= ANSWERS_MIN,
               ANSWER_SECONDS, f"no answers through {target.name}")
    waiting.sleep(SETTLE_S)
    frames = pods.observer.frames()
    return witness.testify(flight, answers(frames), questions(frames), pods.port(source), pods.port(target))


def worst_of(found):
    return max(found, key=lambda testimony: testimony.disagreement_us)


def must_agree(found, limit_us=witness.LIMIT_US):
    worst = worst_of(found)
    if worst.disagreement_us > limit_us:
        raise Failure(f"the witnesses disagree by {worst.disagreement_us:.0f} us, limit {limit_us} us")


def testimonies(pods, count=MOVES):
    """Moves there and back of net_echo, which never sleeps."""
    pods.clear()
    pods.begin()
    source, found = pods.a, []
    with pods.prober(ADDRESS):
        for _ in range(count):
            found.append(one_move(pods, "net_echo", source))
            source = pods.other(source)
    pods.clear()
    return found


def witnesses(pods: LanPods):
    found = testimonies(pods)
    print("\n".join([witness.HEADER, *(testimony.line() for testimony in found)]), flush=True)
    must_agree(found)
