"""A peer that follows the protocol to the end and hands over a processor that none could be: what it sends is loaded into
the real one after COMMIT. The guest may end; the pod must not."""
import itertools
import re
import struct

from tests.pods import intruders
from tests.pods.two_pods import TwoPods
from tools.lab import wire
from tools.lab.errors import expect, expect_equal

POLICY_AT = wire.GUEST_POLICY_AT
POLICY = struct.Struct("<IIQQII")           # version, CPUID entries, TSC Hz, XCR0, address bits, reserved
CPUID = struct.Struct("<IIIIII")            # leaf, subleaf, EAX, EBX, ECX, EDX
CPUID_MAX = 32
XCR0_AT = 40                                # in the section "control"
XCR0_AVX512 = 0xE7
XSAVE_LEGACY_WORDS, XSAVE_HEADER = range(0, 32, 8), range(512, 576, 8)

_power_ons = itertools.count(1 << 32)    # an epoch is used once for each power-on of its source


def kinds(records):
    """The names of GUEST's kinds of state, in their order."""
    payload = next(record.payload for record in records if record.kind == wire.GUEST)
    tables = wire.GUEST_TABLES.unpack_from(payload, wire.GUEST_HEAD.size)
    count, names = tables[3 * wire.RANGES], tables[3 * wire.RANGES + 2]
    return [names[16 * i:16 * i + 16].rstrip(b"\0").decode() for i in range(count)]


def state_of(records):
    """(Kind, instance) -> fields, as the last section of each has them; zeros at their end are not known."""
    found = {}
    for record in records:
        if record.kind == wire.STATE:
            found.update({(kind, instance): fields for kind, instance, fields in wire.sections(record.payload)})
    return found


def with_state(records, state):
    """All of that state in the first STATE."""
    first = next(record for record in records if record.kind == wire.STATE)
    whole = wire.Record(wire.STATE, wire.state([(*key, fields) for key, fields in state.items()]))
    return [whole if record is first else record for record in records if record is first or record.kind != wire.STATE]


def sizes(pods, records, state):
    """(Kind, instance) -> bytes of fields, as the pod says when there are too many."""
    found = {}
    for key in state:
        words = commit(pods, with_state(records, {key: bytes(wire.SECTION_MAX) + b"\1"}))
        said = re.search(r"do not make (\d+) bytes of fields", str(words))
        expect(said, f"a section of kind {key[0]} that is too long: {words}")
        found[key] = int(said.group(1))
    return found


def commit(pods, records):
    """Plays a source that commits. True: the guest runs, or has ended, on pod-b; else the words of the refusal."""
    peer = wire.Peer.connect(pods.b)
    for record in records:
        if record.kind == wire.HELLO:
            fields = list(wire.HELLO_FORM.unpack(record.payload))
            fields[3] = next(_power_ons)
            record = wire.Record(wire.HELLO, wire.HELLO_FORM.pack(*fields))
        if record.kind == wire.PREPARE:
            fields = list(wire.PREPARE_FORM.unpack(record.payload))
            fields[1] = peer.sent_digest
            record = wire.Record(wire.PREPARE, wire.PREPARE_FORM.pack(*fields))
        peer.send(record)
    epoch = intruders.epoch_of(records)
    while (record := peer.receive()) is not None:
        if record.kind in (wire.REFUSE, wire.ABORT):
            break
        if record.kind == wire.READY:
            peer.send(wire.commit(epoch))
        if record.kind == wire.RUNNING:
            peer.send(wire.Record(wire.GOODBYE, struct.pack("<Q", epoch)))
            break
    peer.close()
    expect(record is not None, "the pod closed the connection without a word")
    return True if record.kind == wire.RUNNING else record.words


def without_xsave(records):
    """The same guest, whose policy has no XSAVE."""
    def change(record):
        payload = bytearray(record.payload)
        version, count, hz, _, bits, reserved = POLICY.unpack_from(payload, POLICY_AT)
        first = POLICY_AT + POLICY.size
        entries = [list(CPUID.unpack_from(payload, first + i * CPUID.size)) for i in range(count)]
        entries = [entry for entry in entries if entry[0] != 0xD]
        for entry in entries:
            if entry[0] == 1:
                entry[4] &= ~(1 << 26)
        POLICY.pack_into(payload, POLICY_AT, version, len(entries), hz, 0, bits, reserved)
        table = b"".join(CPUID.pack(*entry) for entry in entries).ljust(CPUID_MAX * CPUID.size, b"\0")
        payload[first:first + len(table)] = table
        return wire.Record(record.kind, payload)

    return [change(record) if record.kind == wire.GUEST else record for record in records]


def xcr0_without_xsave(pods: TwoPods):
    """A guest without XSAVE has no say in XCR0: on a CPU that lacks the components, loading this one would be a #GP here."""
    records = intruders.recorded(pods)
    state = state_of(records)
    control = (kinds(records).index("control") + 1, 0)
    state[control] = bytearray(state[control].ljust(XCR0_AT + 8, b"\0"))
    struct.pack_into("<Q", state[control], XCR0_AT, XCR0_AVX512)
    words = commit(pods, without_xsave(with_state(records, state)))
    expect(words is not True and "XCR0" in words, f"it was not refused for its XCR0: {words}")


def every_word_committed(pods: TwoPods):
    """Each word of the processor's and the devices' state changed: refused, or loaded, and then only the guest may end."""
    records = intruders.recorded(pods)
    state, names = state_of(records), kinds(records)
    ran = 0
    for key, size in sizes(pods, records, state).items():
        offsets = [*XSAVE_LEGACY_WORDS, *XSAVE_HEADER] if names[key[0] - 1] == "xsave" else range(0, size, 8)
        for offset, byte in itertools.product(offsets, (0xFF, 0x55, 0)):
            fields = bytearray(state[key].ljust(size, b"\0"))
            width = min(8, size - offset)
            fields[offset:offset + width] = bytes([byte]) * width
            if commit(pods, with_state(records, {**state, key: fields})) is True:
                ran += 1
                pods.b.control.must("stop clock")
    expect(ran > 0, "no change got through to the processor: this tests nothing")
    expect_equal(pods.b.control.must("list")["guests"], [], "guests of pod-b")
