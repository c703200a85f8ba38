"""Guests on the LAN: reached before and after a teleport, announced after COMMIT and never before, seen by others only as
a switch would show them."""
import time

from tests.pods.lan_pods import ADDRESS, BROADCAST, LanPods, wait
from tools.lab import witness
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.observer import TYPE_ARP, TYPE_RARP
from tools.lab.probe import Prober, answers, questions

ANNOUNCE_TIMES = 5
ANNOUNCE_SECONDS = 1.2          # until the last of them
MOVES = 10
TRIES = 3                       # of a move whose run the machines did not keep up with
SETTLE_S = 0.35


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


def announced(pods: LanPods):
    """After COMMIT: gratuitous ARP for its address and RARP, five times, from the target alone; nothing before."""
    pods.clear()
    mac = pods.begin()
    expect_equal(pods.ping(), 5, "answers to five pings")
    pods.observer.forget()
    with Prober(pods.lan, ADDRESS):
        time.sleep(0.2)
        pods.move("net_echo", pods.a)
        time.sleep(ANNOUNCE_SECONDS)
    frames = pods.of_guest(mac)
    told = [frame for frame in frames if frame.is_announcement]
    expect_equal({frame.port for frame in told}, {pods.tap(pods.b)}, "where announcements came from")
    last = max(frame.when for frame in frames if frame.port == pods.tap(pods.a))
    first = min(frame.when for frame in frames if frame.port == pods.tap(pods.b))
    expect(told[0].when > last, f"announced {(last - told[0].when) / 1e6:.2f} ms before the last frame of the source")
    expect_equal(told[0].when, first, "time of the first frame on the target and of the first announcement")
    kinds = [frame.kind for frame in told]
    expect(kinds.count(TYPE_RARP) >= ANNOUNCE_TIMES and kinds.count(TYPE_ARP) >= ANNOUNCE_TIMES,
           f"announcements: {kinds.count(TYPE_RARP)} RARP, {kinds.count(TYPE_ARP)} ARP")
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
    with Prober(pods.lan, ADDRESS):
        for step in ("round:0", "residue", "state", "prepare", "commit"):
            reply = pods.a.control.call(f"teleport net_echo {pods.b.peer_address} cut={step}", 40)
            expect(not reply["ok"], f"the teleport succeeded although it was cut at {step}")
            wait(lambda: pods.guest(pods.a, "net_echo")["state"] == "running", 20, f"not running again after {step}")
            time.sleep(0.3)
    ports = {frame.port for frame in pods.of_guest(mac)}
    expect_equal(ports, {pods.tap(pods.a)}, "where frames of the guest came from")
    expect(not any(frame.is_announcement for frame in pods.of_guest(mac)), "it was announced although it did not move")
    expect_equal(pods.ping(), 5, "answers to five pings after five failed teleports")
    pods.move("net_echo", pods.a)
    expect_equal(pods.ping(), 5, "answers to five pings after the move")
    pods.clear()


# ---- three witnesses ----------------------------------------------------------------------------------------------------


def one_move(pods, prober, source):
    """Moves the guest away from `source`; the testimony of the three."""
    target = pods.other(source)
    prober.new_count()
    time.sleep(SETTLE_S)
    since = time.time_ns() - int(SETTLE_S * 0.8e9)
    flight = pods.move("net_echo", source)
    time.sleep(SETTLE_S)
    frames = pods.observer.frames(since)
    return witness.testify(flight, answers(frames), questions(frames), pods.tap(source), pods.tap(target))


def testimonies(pods, count=MOVES):
    """`count` moves there and back; [Testimony]."""
    pods.clear()
    pods.begin()
    source, found = pods.a, []
    with Prober(pods.lan, ADDRESS) as prober:
        for _ in range(count):
            pods.observer.forget()
            found.append(one_move(pods, prober, source))
            source = pods.other(source)
    pods.clear()
    return found


def witnesses(pods: LanPods):
    found = testimonies(pods)
    table = "\n".join([witness.HEADER, *(testimony.line() for testimony in found)])
    print(table, flush=True)
    worst = max(found, key=lambda t: t.disagreement_us - t.limit_us)
    if worst.disagreement_us > worst.limit_us:
        raise Failure(f"the witnesses disagree by {worst.disagreement_us / 1000:.2f} ms, limit {worst.limit_us / 1000:.2f} ms")
