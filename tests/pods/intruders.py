"""What a peer may send to the teleport port: garbage, cut streams, other versions, and a good stream with any field
changed. A sentence says what is wrong, and the pod goes on with all that it had."""
import itertools
import struct

from tests.pods.two_pods import TwoPods
from tools.lab import wire
from tools.lab.errors import expect, expect_equal

SMALL = "memory=2M cmdline=hz=20"
ALL_ONES = bytes([255] * 8)

_recorded = []
_power_ons = itertools.count(1)      # an epoch is used once for each power-on of its source: each replay is another one


def recorded(pods):
    """All records of one teleport of a small guest, from HELLO to PREPARE, as a real source sent them."""
    if not _recorded:
        pods.clear()
        pods.a.control.must(f"start clock {SMALL}")
        listener = wire.Listener()
        session = pods.a.open_control()
        session.begin(f"teleport clock {listener.address} timeout=20000")
        target = wire.FakeTarget(listener.accept())
        expect(target.serve(wire.PREPARE), "the source did not come to PREPARE")
        for end in (target.peer, listener):
            end.close()
        session.finish(20)
        session.close()
        pods.a.control.must("stop clock")
        _recorded.extend(record for record in target.records if record.kind != wire.CLOCK_PING)
    return _recorded


def epoch_of(records):
    guest = next((record for record in records if record.kind == wire.GUEST), None)
    return struct.unpack("<Q", guest.payload[:8])[0] if guest and len(guest.payload) >= 8 else 0


def replay(pods, records):
    """Plays the source to pod-b; how it ended: "READY", "closed", or the words of REFUSE or ABORT. Leaves nothing."""
    peer = wire.Peer.connect(pods.b)
    power_on = next(_power_ons)
    for record in records:
        if record.kind == wire.HELLO and len(record.payload) == wire.HELLO_FORM.size:
            fields = list(wire.HELLO_FORM.unpack(record.payload))
            fields[3] ^= power_on
            record = wire.Record(wire.HELLO, wire.HELLO_FORM.pack(*fields))
        if record.kind == wire.PREPARE and len(record.payload) == wire.PREPARE_FORM.size:
            fields = list(wire.PREPARE_FORM.unpack(record.payload))
            fields[1] = peer.sent_digest ^ fields[2]      # honest, but for what a test put beside
            fields[2] = 0
            record = wire.Record(wire.PREPARE, wire.PREPARE_FORM.pack(*fields))
        peer.send(record)
    return outcome(peer, epoch_of(records), records[-1].kind if records else None)


def outcome(peer, epoch, last_kind):
    if last_kind != wire.PREPARE:
        peer.end_sending()
    while (record := peer.receive()) is not None:
        if record.kind in (wire.REFUSE, wire.ABORT):
            peer.close()
            return record.words
        if record.kind == wire.READY:
            peer.send(wire.Record(wire.ABORT, wire.text(epoch, "only a test")))
            while peer.receive() is not None:
                pass
            peer.close()
            return "READY"
    peer.close()
    return "closed"


def unharmed(pods, before):
    expect_equal(pods.b.control.must("list")["guests"], [], "guests of pod-b")
    pods.expect_resources(before)


def honest(pods: TwoPods):
    """The recorded stream is accepted as it is: what follows differs from it in one place only."""
    records = recorded(pods)
    replay(pods, records)
    before = pods.resources()
    expect_equal(replay(pods, records), "READY", "the honest stream")
    unharmed(pods, before)


def garbage(pods: TwoPods):
    pods.clear()
    before = pods.resources()
    for data in (b"GET / HTTP/1.1\r\nHost: pod\r\n\r\n", bytes(100_000), b"\xff" * 100_000,
                 bytes((i * 131 + 7) % 256 for i in range(50_000)), b"", b"\x01"):
        peer = wire.Peer.connect(pods.b)
        peer.send_raw(data)
        peer.end_sending()
        while peer.receive() is not None:
            pass
        peer.close()
    unharmed(pods, before)


def headers(pods: TwoPods):
    """Each field of a record's header, and the words that name it."""
    first = wire.Record(wire.HELLO, wire.hello())
    good = wire.encode(first, 0)
    trials = [("CRC32C", good[:-1] + bytes([good[-1] ^ 1])), ("CRC32C", wire.encode(first, 0, spoil_crc=4)),
              ("expected", wire.encode(first, 1)), ("flags", wire.encode(wire.Record(wire.HELLO, first.payload, 3), 0)),
              ("multiple of 8", struct.pack("<HHIII", 1, 1, 12, 0, 0)),
              ("multiple of 8", struct.pack("<HHIII", 1, 1, 1 << 20, 0, 0)),
              ("mandatory type", wire.encode(wire.Record(999, bytes(8)), 0)),
              ("versions", wire.encode(wire.Record(wire.HELLO, wire.hello(version=9, oldest=8)), 0)),
              ("no Telepod", wire.encode(wire.Record(wire.HELLO, wire.hello(magic=7)), 0)),
              ("HELLO", wire.encode(wire.Record(wire.HELLO, wire.hello()[:40]), 0)),
              ("versions 1 to 1", wire.encode(wire.Record(wire.HELLO, wire.hello(version=1, oldest=1)[:64]), 0)),
              ("COMMIT", wire.encode(wire.commit(0), 0))]
    for words, data in trials:
        peer = wire.Peer.connect(pods.b)
        peer.send_raw(data)
        said = outcome(peer, 0, None)
        peer.close()
        expect(words in said, f"expected a sentence with {words!r}, got {said!r}")


def newer_version_that_speaks_ours(pods: TwoPods):
    """A peer of the future that still speaks our version, and an optional record that nobody knows yet."""
    records = list(recorded(pods))
    old = wire.HELLO_FORM.unpack(records[0].payload)
    records[0] = wire.Record(wire.HELLO, wire.HELLO_FORM.pack(old[0], 9, wire.VERSION, *old[3:]))
    records.insert(2, wire.Record(777, bytes(16), flags=0))
    expect_equal(replay(pods, records), "READY", "a newer peer")


def order(pods: TwoPods):
    """Records at the wrong time."""
    records = recorded(pods)
    by_kind = {record.kind: record for record in records}
    for wrong in (wire.PAGE, wire.ZERO, wire.STATE, wire.PREPARE, wire.ROUND_END):
        if wrong in by_kind:
            said = replay(pods, [records[0], by_kind[wrong]])
            expect("outside" in said or "not" in said, f"{wire.NAMES[wrong]} before GUEST: {said!r}")
    said = replay(pods, records[:2] + [records[1]])
    expect("second GUEST" in said, f"a second GUEST: {said!r}")
    said = replay(pods, records[:2] + [wire.commit(epoch_of(records))])
    expect(said != "READY", f"COMMIT before READY: {said!r}")
    expect_equal(pods.b.control.must("list")["guests"], [], "guests of pod-b")


def truncated(pods: TwoPods):
    """The stream ends after each record, and in the middle of one."""
    records = recorded(pods)
    replay(pods, records)
    before = pods.resources()
    for count in range(len(records)):
        replay(pods, records[:count])
    peer = wire.Peer.connect(pods.b)
    for record in records[:4]:
        peer.send(record)
    peer.send_raw(wire.encode(records[4], 4)[:20])
    peer.close()
    unharmed(pods, before)


def change(records, index, at):
    """The same stream with eight bytes of one payload all ones (or, if they are, all zero)."""
    changed = list(records)
    payload = bytearray(records[index].payload)
    payload[at:at + 8] = bytes(8) if payload[at:at + 8] == ALL_ONES else ALL_ONES
    changed[index] = wire.Record(records[index].kind, payload)
    return changed


def every_field(kind, stride=1):
    """Every word of one kind of record. Some changes are harmless; none may harm the pod or leave anything behind."""
    def test(pods: TwoPods):
        records = recorded(pods)
        index = next(i for i, record in enumerate(records) if record.kind == kind)
        length = len(records[index].payload)
        first = length - 8 if kind == wire.PAGE else 0      # a page's content may be anything

        def change_all():
            return {replay(pods, change(records, index, at)) for at in range(first, length - 7, 8 * stride)}

        ends = change_all()                 # a first time, for the heap to grow as far as it will
        expect(ends != {"READY"}, f"no change of {wire.NAMES[kind]} was noticed")
        before = pods.resources()
        expect_equal(change_all(), ends, "how the streams ended")
        unharmed(pods, before)

    return test
