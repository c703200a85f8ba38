"""Guests with disks, on the move and at rest; machines that a target would not make: refused in words, before a page is
sent."""
import struct

from tests.pods import intruders
from tests.pods.two_pods import TwoPods
from tools.lab import oracle, wire
from tools.lab.errors import expect, expect_equal
from tools.lab.waiting import wait_until


FRAME = 4096
MIB = 1 << 20
DISK = "disk=dirtier.elf disk_size=4M"       # any file with content in it
HEAD = ("epoch", "memory", "disk", "vcpus", "console", "devices", "state", "audit", "ranges", "name", "image", "initrd",
        "disk_name", "cmdline", "reason", "mac")
KINDS_AT = wire.GUEST_HEAD.size + wire.RANGES * (8 + 8 + 4) + 8


def disk_travels(pods: TwoPods):
    """The audit compares the disk's frames too, and another move finds them where this one left them."""
    dirtier = pods.traveller("dirtier", f"memory=8M {DISK}")
    for _ in range(2):
        dirtier.run_for(0.5)
        flight = dirtier.move("audit=1")
        expect_equal(flight["audit"]["frames"], (8 + 4) * MIB // FRAME, "frames that were compared")
        expect_equal(flight["disk_bytes"], 4 * MIB, "disk_bytes")
        expect(flight["pages"] - flight["zero_pages"] > 20, f"the disk's content did not travel: {flight['pages']} pages")
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)
    dirtier.stop()


def ended(pods: TwoPods):
    """It moves with its disk and the reason, not with its RAM; it stays ended until somebody starts it there."""
    pods.clear()
    pods.a.control.must(f"start hello {DISK}")
    here = wait_state(pods, pods.a, "hello", "halted")
    reply = pods.a.control.must(f"teleport hello {pods.b.peer_address} audit=1", 40)
    expect_equal(reply["flight"]["audit"]["different"], 0, "frames that differ")
    expect_equal(reply["flight"]["audit"]["frames"], 4 * MIB // FRAME, "frames that were compared: the disk's")
    expect("downtime_us" not in reply["flight"], "a guest that does not run has no downtime")
    there = pods.guest(pods.b, "hello")
    for key in ("state", "reason", "mac", "memory_mib", "disk_mib"):
        expect_equal(there.get(key), here.get(key), key)
    expect_equal(pods.guest(pods.a, "hello"), None, "the guest on its source")
    start = pods.b.log.position
    pods.b.control.must("start hello")
    pods.b.wait_log(r"\[hello\]", 10, start)
    pods.clear()


def paused_with_a_disk(pods: TwoPods):
    """Ten cold moves of a paused guest: nothing of it changes."""
    dirtier = pods.traveller("dirtier", f"memory=8M {DISK}")
    dirtier.run_for(0.5)
    pods.a.control.must("pause dirtier")
    before = None
    for turn in range(4):
        dirtier.move("audit=1")
        if turn == 1:
            before = pods.resources()
    pods.expect_resources(before)
    dirtier.pod.control.must("resume dirtier")
    dirtier.run_for(0.5)
    dirtier.verify_memory()
    oracle.check_dirtier(dirtier.text)
    dirtier.stop()


def wait_state(pods, pod, name, state, seconds=10):
    wait_until(lambda: pods.guest(pod, name)["state"] == state, seconds, lambda: f"not {state}: {pods.guest(pod, name)}")
    return pods.guest(pod, name)


def bent(records, **changes):
    """The recorded stream up to GUEST, with other values in its head; kind=(index, name, version, instances) in its kinds."""
    payload = bytearray(records[1].payload)
    kind = changes.pop("kind", None)
    fields = dict(zip(HEAD, wire.GUEST_HEAD.unpack_from(payload)))
    fields.update(changes)
    wire.GUEST_HEAD.pack_into(payload, 0, *(fields[name] for name in HEAD))
    if kind:
        index, name, version, instances = kind
        struct.pack_into("16s", payload, KINDS_AT + 16 * index, name)
        struct.pack_into("<I", payload, KINDS_AT + 16 * wire.KINDS + 4 * index, version)
        struct.pack_into("<I", payload, KINDS_AT + 20 * wire.KINDS + 4 * index, instances)
    return [records[0], wire.Record(wire.GUEST, payload)]


def refused(pods: TwoPods):
    """What the target lacks, it says, and takes nothing."""
    records = intruders.recorded(pods)
    intruders.replay(pods, records)
    before = pods.resources()
    mac = bytes([2, 0, 0x5E, 1, 2, 3])
    trials = [(dict(kind=(1, b"sound", 1, 1)), ["no device sound"]),
              (dict(kind=(1, b"clock", 9, 1)), ["clock", "version 9"]),
              (dict(kind=(1, b"clock", 1, 3)), ["3 clock"]),
              (dict(vcpus=17), ["17 vCPUs", "up to"]),
              (dict(vcpus=2), ["this pod would give it 2"]),
              (dict(memory=3 << 30), ["memory map"]),
              (dict(disk=2 * MIB), ["memory map"]),
              (dict(devices=1), ["this pod"]),
              (dict(memory=3 * MIB), ["2 MiB"]),
              (dict(mac=b"\1\0\0\0\0\0\0\0"), ["MAC"]),
              (dict(reason=b"ended"), ["end"]),
              (dict(cmdline=b"x" * 512), ["without its end"])]
    for change, words in trials:
        said = intruders.replay(pods, bent(records, **change))
        for word in words:
            expect(word in said, f"{change}: expected {word!r}, got {said!r}")
    intruders.unharmed(pods, before)
    pods.b.control.must(f"start dirtier devices=net mac={mac.hex(':')}")
    pods.a.control.must(f"start clock devices=net mac={mac.hex(':')}")
    reply = pods.a.control.call(f"teleport clock {pods.b.peer_address}", 30)
    expect(not reply["ok"] and "dirtier" in reply["error"] and mac.hex(":") in reply["error"], f"the same MAC: {reply}")
    expect_equal(reply["flight"]["rounds"], [], "rounds before the refusal")
    pods.a.control.must("stop clock")
    pods.clear()
