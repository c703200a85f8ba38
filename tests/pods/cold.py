"""Cold moves: a guest that does not run goes with its disk and its configuration, and nothing of it runs on the way."""
import re

from tests.pods.two_pods import TwoPods
from tools.lab import places
from tools.lab.errors import expect, expect_equal
from tools.lab.waiting import wait_until


def wait_halted(pods, pod, name, seconds=20):
    wait_until(lambda: pods.guest(pod, name)["state"] == "halted", seconds, lambda: f"{name} does not end: {pods.guest(pod, name)}")
    return pods.guest(pod, name)


def said(pod, name):
    text = []
    pod.control.must(f"console {name} position=0", 20, lambda event: text.append(event.get("text", "")))
    return "".join(text).replace("\r", "")


def same_machine(before, after):
    for key in ("state", "reason", "memory_mib", "disk_mib", "vcpus", "devices", "mac", "image"):
        expect_equal(after[key], before[key], f"{key} after the move")


def halted(pods: TwoPods):
    """A guest that ended moves, arrives as it was, and starts there; and the way back."""
    pods.clear()
    pods.a.control.must("start h image=hello.elf memory=8M disk_size=4M mac=02:00:00:00:00:55 cmdline=exit=5")
    before = wait_halted(pods, pods.a, "h")
    expect_equal((before["reason"], before["disk_mib"]), ("exit code 5", 4), "the guest before the move")
    pods.a.control.must(f"teleport h {pods.b.peer_address} audit=1", 40)
    expect(pods.guest(pods.a, "h") is None, "it is still on pod-a")
    same_machine(before, pods.guest(pods.b, "h"))
    pods.b.control.must_fail("resume h", ["it is halted: exit code 5"])
    pods.b.control.must("start h cmdline=exit=6")
    expect_equal(wait_halted(pods, pods.b, "h")["reason"], "exit code 6", "the reason after a start over there")
    expect("hello: long mode" in said(pods.b, "h"), f"it says {said(pods.b, 'h')!r}")
    pods.b.control.must(f"teleport h {pods.a.peer_address}", 40)
    expect_equal(pods.guest(pods.a, "h")["reason"], "exit code 6", "the reason after the way back")
    pods.a.control.must("stop h")


def disk(pods: TwoPods):
    """What is on the disk of a halted guest is on it over there."""
    pods.clear()
    block = "image=virtio_block.elf memory=8M disk_size=4M"
    pods.a.control.must(f"start d {block} cmdline=\"count=2 disk=0\"")
    expect_equal(wait_halted(pods, pods.a, "d")["reason"], "exit code 0", "the first run, on a disk of zeros")
    pods.a.control.must(f"teleport d {pods.b.peer_address} audit=1", 40)
    pods.b.control.must("start d cmdline=\"count=1 disk=0\"")
    expect_equal(wait_halted(pods, pods.b, "d")["reason"], "exit code 1", "a run that wants zeros and must not find them")
    pods.clear()


def sector_0(round_number):
    """Word 0 of sector 0 as virtio_block writes it in that round (guests/tests/virtio_block.c)."""
    x = (round_number << 7) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    return x ^ x >> 29


def switched_off(pods: TwoPods):
    """The operator halts a guest in the middle of its writes: its disk, console and configuration stay, it goes on nowhere, and
    over there it boots and finds on its disk what it wrote last. Also from a pause, and in place."""
    pods.clear()
    pods.a.control.must("start d image=virtio_block.elf memory=8M disk_size=4M mac=02:00:00:00:00:77 cmdline=count=0")
    wait_until(lambda: "round 2 ok" in said(pods.a, "d"), 20, lambda: f"no second round: {said(pods.a, 'd')!r}")
    pods.a.control.must("halt d")
    before, text = pods.guest(pods.a, "d"), said(pods.a, "d")
    expect_equal((before["state"], before["reason"]), ("halted", "halted by the operator"), "the guest after halt")
    expect("round 2 ok" in text, f"its console is lost: {text!r}")
    for command in ("halt d", "pause d", "resume d"):
        pods.a.control.must_fail(command, ["it is halted: halted by the operator"])
    reply = pods.a.control.must(f"teleport d {pods.b.peer_address} audit=1", 40)
    expect_equal(reply["flight"]["audit"], {"frames": 1024, "different": 0}, "the audit, of the disk's frames")
    same_machine(before, pods.guest(pods.b, "d"))
    pods.b.control.must("start d cmdline=\"count=1 disk=0\"")
    expect_equal(wait_halted(pods, pods.b, "d")["reason"], "exit code 1", "a run that wants zeros and must not find them")
    rounds = text.count(" ok\n")
    found = re.search(r"sector 0 of round 0 holds 0x([0-9a-f]+) at word 0,", said(pods.b, "d"))
    expect(found and int(found[1], 16) in (sector_0(rounds), sector_0(rounds + 1)),
           f"after {rounds} rounds: {said(pods.b, 'd')!r}")
    pods.b.control.must("start d paused cmdline=count=0")
    pods.b.control.must("halt d")
    pods.b.control.must("start d cmdline=\"count=1 disk=1\"")
    expect_equal(wait_halted(pods, pods.b, "d")["reason"], "exit code 0", "a run that takes the disk as it is")
    pods.clear()


def image_is_not_there(pods: TwoPods):
    """The other pod lacks the file that the guest boots from: start says so, and an upload mends it."""
    pods.clear()
    session = pods.a.open_control()
    image = places.guest_image("hello").read_bytes()
    session.begin(f"upload only-here.elf {len(image)}")
    session.send(image)
    expect(session.finish(20)["ok"], "the upload")
    pods.a.control.must("start h image=only-here.elf memory=8M cmdline=exit=3")
    wait_halted(pods, pods.a, "h")
    pods.a.control.must(f"teleport h {pods.b.peer_address}", 40)
    pods.b.control.must_fail("start h", ["no image file only-here.elf", "upload"])
    expect_equal(pods.guest(pods.b, "h")["state"], "halted", "state after a start that was refused")
    there = pods.b.open_control()
    there.begin(f"upload only-here.elf {len(image)}")
    there.send(image)
    expect(there.finish(20)["ok"], "the upload to the other pod")
    pods.b.control.must("start h")
    expect_equal(wait_halted(pods, pods.b, "h")["reason"], "exit code 3", "the reason after the start")
    for pod, one in ((pods.a, session), (pods.b, there)):
        pod.control.must("remove only-here.elf")
        one.close()
    pods.clear()


def paused(pods: TwoPods):
    """Paused with a disk: it stays paused, and goes on when it is told to."""
    pods.clear()
    pods.a.control.must("start c image=clock.elf memory=8M disk_size=2M cmdline=hz=50")
    pods.a.run_for(0.5)
    pods.a.control.must("pause c")
    before = pods.guest(pods.a, "c")
    pods.a.control.must(f"teleport c {pods.b.peer_address} audit=1", 40)
    same_machine(before, pods.guest(pods.b, "c"))
    silent = pods.guest(pods.b, "c")["console_bytes"]
    pods.b.run_for(0.5)
    expect_equal(pods.guest(pods.b, "c")["console_bytes"], silent, "output of a paused guest")
    pods.b.control.must("resume c")
    wait_until(lambda: pods.guest(pods.b, "c")["console_bytes"] > silent, 10, "it does not go on")
    pods.clear()


def refused(pods: TwoPods):
    """What the target cannot take stays where it is, as it was."""
    pods.clear()
    pods.a.control.must("start h image=hello.elf memory=8M mac=02:00:00:00:00:66 devices=net cmdline=exit=1")
    before = wait_halted(pods, pods.a, "h")
    pods.b.control.must("start other image=clock.elf memory=8M mac=02:00:00:00:00:66 devices=net")
    reply = pods.a.control.call(f"teleport h {pods.b.peer_address}", 40)
    expect(not reply["ok"] and "02:00:00:00:00:66" in reply["error"], f"a MAC that is taken over there: {reply}")
    same_machine(before, pods.guest(pods.a, "h"))
    pods.b.control.must("stop other")
    pods.b.control.must("start h image=clock.elf memory=8M")
    reply = pods.a.control.call(f"teleport h {pods.b.peer_address}", 40)
    expect(not reply["ok"], "a name that is taken over there")
    same_machine(before, pods.guest(pods.a, "h"))
    pods.clear()
