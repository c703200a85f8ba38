"""Teleports that fail: the guest keeps running on the source with nothing lost, the target frees what it took, and the
next teleport works."""
from tests.pods.two_pods import TwoPods
from tools.lab import laboratory, oracle, wire
from tools.lab.errors import expect, expect_equal
from tools.lab.waiting import wait_until


BUSY = "cmdline=\"rate=4 check=16 set=256\""
CUT = "cut by the operator"
ANSWERED = "timeout=20000"      # the lab answers, or closes: only a host that is very busy takes seconds for that


def afterwards(pods, dirtier):
    """What every failure must leave behind: a guest that can go, with every page right."""
    pods.other_is_empty(dirtier)
    dirtier.run_for(0.2)
    dirtier.move()
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)


def cut(step):
    def test(pods: TwoPods):
        dirtier = pods.traveller("dirtier", BUSY)
        dirtier.run_for(0.3)
        pods.failed_teleport(dirtier, f"audit=1 cut={step}", [CUT])
        afterwards(pods, dirtier)

    return test


def cut_commit(pods: TwoPods):
    """READY was said: the target keeps what it has, since its source might be in doubt, until that one begins anew."""
    dirtier = pods.traveller("dirtier", BUSY)
    dirtier.run_for(0.3)
    pods.failed_teleport(dirtier, "audit=1 cut=commit", [CUT])
    waiting = pods.guest(pods.b, "dirtier")
    expect(waiting and waiting["state"] == "incoming", f"on the target: {waiting}")
    dirtier.run_for(0.2)
    dirtier.move()
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)


def cut_running(pods: TwoPods):
    """COMMIT went out, the link is lost: in doubt, until the target says that it runs there."""
    dirtier = pods.traveller("dirtier", BUSY)
    dirtier.run_for(0.3)
    target, arrival = pods.b, pods.b.com2_end()
    reply = pods.a.control.call(f"teleport dirtier {target.peer_address} cut=running", 40)
    expect(reply["ok"], f"not resolved: {reply.get('error')}")
    expect_equal(reply["flight"]["outcome"], "moved", "outcome")
    expect(pods.guest(pods.a, "dirtier") is None, "the guest is on the source, too")
    dirtier.has_moved(target, arrival)
    afterwards(pods, dirtier)


def again_and_again(pods: TwoPods):
    """Ten failures in a row, at different places, then the books are balanced."""
    dirtier = pods.traveller("dirtier", BUSY)
    def fail_everywhere():
        for step in ("commit", "round:0", "pause", "state", "prepare"):
            pods.failed_teleport(dirtier, f"cut={step}", [CUT])
        pods.other_is_empty(dirtier)

    fail_everywhere()
    before = pods.resources()
    fail_everywhere()
    pods.expect_resources(before, "resources after five more failures")
    afterwards(pods, dirtier)


def peer_absent(pods: TwoPods):
    dirtier = pods.traveller("dirtier", BUSY)
    pods.failed_teleport(dirtier, "timeout=3000", [], address=f"{laboratory.HOST}:7199")
    afterwards(pods, dirtier)


def unknown_guest(pods: TwoPods):
    pods.clear()
    pods.a.control.must_fail(f"teleport nobody {pods.b.peer_address}", ["no guest nobody"])


def name_exists(pods: TwoPods):
    dirtier = pods.traveller("dirtier", BUSY)
    pods.b.control.must("start dirtier image=hello.elf")
    pods.failed_teleport(dirtier, "", ["guest dirtier already"])
    pods.b.control.must("stop dirtier")
    afterwards(pods, dirtier)


def no_memory(pods: TwoPods):
    """The target says how many MiB it lacks."""
    dirtier = pods.traveller("dirtier", BUSY + " memory=128M")
    pods.b.control.must("start filler image=hello.elf memory=400M")
    reply = pods.failed_teleport(dirtier, "", ["128 MiB", "lacks"])
    expect_equal(reply["flight"]["rounds"], [], "rounds before the refusal")
    pods.b.control.must("stop filler")
    afterwards(pods, dirtier)


def busy(pods: TwoPods):
    """A guest on its way is not to be stopped, halted, paused or sent twice."""
    dirtier = pods.traveller("dirtier", "cmdline=\"mode=burn set=512\" memory=16M")
    session = pods.a.open_control()
    session.begin(f"teleport dirtier {pods.b.peer_address} rounds=6 downtime=1")
    wait_until(lambda: pods.guest(pods.a, "dirtier")["teleporting"], 10, "the teleport does not begin", 0.05)
    for command in ("stop dirtier", "halt dirtier", "pause dirtier", f"teleport dirtier {pods.b.peer_address}", "shutdown"):
        pods.a.control.must_fail(command, ["teleported"])
    reply = session.finish(60)
    session.close()
    expect(reply["ok"], f"the teleport failed: {reply.get('error')}")
    pods.clear()


def silent(until):
    """A target that stops to answer at some point: the source gives up after its time-out."""
    def test(pods: TwoPods):
        dirtier = pods.traveller("dirtier", BUSY)
        listener = wire.Listener()
        session = pods.a.open_control()
        session.begin(f"teleport dirtier {listener.address} timeout=1500")
        peer = listener.accept()
        expect(wire.FakeTarget(peer).serve(until), f"the source did not come to {wire.NAMES[until]}")
        reply = session.finish(30)
        expect(not reply["ok"] and reply["flight"]["outcome"] == "kept", f"reply: {reply}")
        peer.close()
        session.close()
        listener.close()
        afterwards(pods, dirtier)

    return test


def lying(pods: TwoPods):
    """Targets that answer with nonsense at every point where an answer is due."""
    dirtier = pods.traveller("dirtier", BUSY)
    nonsense = [b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" + bytes(64), bytes(4096), b"\xff" * 4096,
                wire.encode(wire.commit(0), 0),
                wire.encode(wire.Record(wire.HELLO, wire.hello(version=9, oldest=7)), 0),
                wire.encode(wire.Record(wire.HELLO, wire.hello(magic=1)), 0),
                wire.encode(wire.Record(wire.HELLO, wire.hello()), 0, spoil_crc=1),
                wire.encode(wire.Record(wire.HELLO, wire.hello()), 5),
                wire.encode(wire.Record(wire.HELLO, wire.hello()[:32]), 0)]
    for data in nonsense:
        for until in (wire.HELLO, wire.CLOCK_PING, wire.ROUND_END, wire.PREPARE):
            listener = wire.Listener()
            session = pods.a.open_control()
            session.begin(f"teleport dirtier {listener.address} {ANSWERED}")
            peer = listener.accept()
            expect(wire.FakeTarget(peer).serve(until), f"the source did not come to {wire.NAMES[until]}")
            peer.send_raw(data)
            reply = session.finish(20)
            expect(not reply["ok"] and reply["flight"]["outcome"] == "kept" and reply["flight"]["reason"],
                   f"after {data[:20]!r} at {wire.NAMES[until]}: {reply}")
            for end in (peer, session, listener):
                end.close()
    afterwards(pods, dirtier)


def wrong_ready(pods: TwoPods):
    """READY for another digest: what arrived is not what was sent."""
    dirtier = pods.traveller("dirtier", BUSY)
    listener = wire.Listener()
    session = pods.a.open_control()
    session.begin(f"teleport dirtier {listener.address} {ANSWERED}")
    target = wire.FakeTarget(listener.accept())
    prepare = target.serve(wire.PREPARE)
    expect(prepare, "the source did not come to PREPARE")
    target.peer.send(target.ready(prepare, digest_change=1))
    reply = session.finish(20)
    expect(not reply["ok"] and "digest" in reply["error"], f"reply: {reply}")
    afterwards(pods, dirtier)


def doubt_with(pods, here):
    """The lab plays a target that takes COMMIT and is never heard of again."""
    dirtier = pods.traveller("dirtier", BUSY)
    dirtier.run_for(0.3)
    listener = wire.Listener()
    session = pods.a.open_control()
    session.begin(f"teleport dirtier {listener.address} {ANSWERED} doubt=1000")
    target = wire.FakeTarget(listener.accept())
    prepare = target.serve(wire.PREPARE)
    expect(prepare, "the source did not come to PREPARE")
    target.peer.send(target.ready(prepare))
    expect(target.serve(wire.COMMIT) is not None, "no COMMIT came")
    target.peer.close()
    listener.close()
    reply = session.finish(30)
    session.close()
    expect(not reply["ok"] and reply["flight"]["outcome"] == "in doubt", f"reply: {reply}")
    expect_equal(pods.guest(pods.a, "dirtier")["state"], "in doubt", "state")
    said = pods.a.com2_end()
    dirtier.run_for(0.5)
    expect_equal(pods.a.com2_end(), said, "output of a guest in doubt: it must not run")
    pods.a.control.must_fail("resume dirtier", ["doubt", "force"])
    pods.a.control.must_fail("stop dirtier", ["doubt", "force"])
    pods.a.control.must_fail("halt dirtier", ["doubt", "force"])
    pods.a.control.must("resume dirtier force" if here else "stop dirtier force")
    wait_until(lambda: (guest := pods.guest(pods.a, "dirtier")) is None or guest["state"] == "running", 15, "the doubt does not end")
    return dirtier, pods.guest(pods.a, "dirtier")


def doubt_here(pods: TwoPods):
    dirtier, guest = doubt_with(pods, True)
    expect(guest is not None, "the guest is gone, although the operator said that it runs here")
    afterwards(pods, dirtier)


def doubt_there(pods: TwoPods):
    _, guest = doubt_with(pods, False)
    expect(guest is None, f"the guest is still here: {guest}")


def peer_killed(pods: TwoPods):
    """The power of the target goes in the middle of pre-copy."""
    dirtier = pods.traveller("dirtier", "cmdline=\"mode=burn set=512\" memory=16M")
    dirtier.run_for(0.3)
    session = pods.a.open_control()
    session.begin(f"teleport dirtier {pods.b.peer_address} rounds=60 downtime=1 timeout=3000")
    reply = session.finish(60, lambda event: pods.b.kill())
    session.close()
    expect(not reply["ok"] and reply["flight"]["outcome"] == "kept", f"reply: {reply}")
    expect(reply["flight"]["rounds"], "it was killed before the first round")
    expect_equal(pods.guest(pods.a, "dirtier")["state"], "running", "state on the source")
    dirtier.verify_memory()
    expect("MISMATCH" not in dirtier.text, f"the guest: {dirtier.text[-300:]!r}")
