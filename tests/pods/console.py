"""The operator's console stays with the guest: nothing lost, nothing twice, in both directions."""
import re
import subprocess
import time

from tests.pods.two_pods import SETTINGS, TwoPods
from tools.lab import children, gateway, laboratory, linux, places, waiting, wire
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.pair import Pair
from tools.lab.waiting import deadline, wait_until


TYPED_PAUSE_S = 0.01
ENOUGH = 200            # ticks, and bytes typed
LINE = re.compile(rb"tick (\d+) \[(.)\]\n|in ([0-9a-f]{2})\n", re.DOTALL)


class Attached:
    """`telepod console GUEST attach`, with its standard input and output in our hands."""

    def __init__(self, pods, pod, guest, names=True):
        self.path = pods.directory / f"console-{guest}.bin"
        self.errors_path = self.path.with_suffix(".err")
        self._beside = pods.laboratory.host_program()
        self._beside.__enter__()
        words = [places.TELEPOD]
        for known in pods.pods if names else []:
            words += ["--pod", f"{known.name}=127.0.0.1:{known.control_port}"]
        self._output, self._errors = open(self.path, "wb"), open(self.errors_path, "wb")
        self._child = children.spawn([*words, f"127.0.0.1:{pod.control_port}", "console", guest, "attach"],
                                     stdin=subprocess.PIPE, stdout=self._output, stderr=self._errors)

    @property
    def bytes(self):
        return self.path.read_bytes()

    @property
    def notes(self):
        return self.errors_path.read_text(errors="replace")

    def type(self, data):
        self._child.stdin.write(data)
        self._child.stdin.flush()

    def wait(self, what, condition, seconds=20):
        end = deadline(seconds)
        while not condition():
            if self._child.poll() is not None:
                raise Failure(f"the client has ended: {self.notes!r}")
            expect(waiting.now() < end, f"{what}: not within {seconds} s; the end of the console is {self.bytes[-80:]!r}")
            waiting.sleep(0.05)

    def end(self, seconds=10):
        """Its exit status, once the guest is stopped."""
        try:
            wait_until(lambda: self._child.poll() is not None, seconds, lambda: f"the client does not end: {self.notes!r}")
            return self._child.returncode
        finally:
            self._beside.__exit__(None, None, None)
            children.stop(self._child)
            self._output.close()
            self._errors.close()


class Typist:
    """Types every byte value, one after the other, without pause for what the guest does."""

    def __init__(self, console):
        self.console, self.typed = console, 0
        self._ticker = laboratory.current().every(TYPED_PAUSE_S, self._type)

    def _type(self):
        self.console.type(bytes([self.typed % 256]))
        self.typed += 1

    def finish(self):
        self._ticker.stop()
        return self.typed


def parse(data):
    """(ticks, heard bytes) of a chatter's console, which must be one unbroken sequence of its lines."""
    at, ticks, heard = 0, 0, []
    while match := LINE.match(data, at):
        if match.group(1):
            ticks += 1
            expect_equal(int(match.group(1)), ticks, f"tick at byte {at}, after {data[max(0, at - 60):at]!r}")
            expect_equal(match.group(2)[0], ticks % 256, f"the byte of tick {ticks}")
        else:
            heard.append(int(match.group(3), 16))
        at = match.end()
    expect(len(data) - at < 20, f"no line of a chatter at byte {at}: {data[max(0, at - 40):at + 60]!r}")
    return ticks, heard


def move(pods, name, source):
    target = pods.other(source)
    source.control.must(f"teleport {name} {target.peer_address}", 40)
    return target


def follows(pods: TwoPods):
    """Ten moves, there and back, while the guest prints and the operator types all the time."""
    pods.clear()
    pod = pods.a
    pod.control.must("start c image=chatter.elf memory=8M")
    console = Attached(pods, pod, "c")
    console.wait("the first tick", lambda: b"tick 1 " in console.bytes)
    typist = Typist(console)
    for _ in range(10):
        waiting.sleep(0.3)
        pod = move(pods, "c", pod)
    console.wait("enough of both", lambda: parse(console.bytes)[0] > ENOUGH and typist.typed > ENOUGH)
    typed = typist.finish()
    console.wait("the last typed byte", lambda: len(parse(console.bytes)[1]) >= typed)
    pod.control.must("stop c")
    expect_equal(console.end(), 0, "status of the client")
    expect_equal(parse(console.bytes)[1], [i % 256 for i in range(typed)], "what the guest has heard")
    expect_equal(console.notes.count("has moved to"), 10, "moves that the client told")
    expect("lost" not in console.notes, f"the client says: {console.notes!r}")


def comes_later(pods: TwoPods):
    """Who asks the pod that the guest has left is led to where it is; a guest that nobody knows is refused."""
    pods.clear()
    pods.a.control.must("start c image=chatter.elf memory=8M")
    waiting.sleep(0.3)
    move(pods, "c", pods.a)
    console = Attached(pods, pods.a, "c")
    console.wait("a tick on the other pod", lambda: b"]\ntick " in console.bytes)
    console.type(b"x")
    console.wait("an answer", lambda: b"in 78\n" in console.bytes)
    pods.b.control.must("stop c")
    expect_equal(console.end(), 0, "status of the client")
    nobody = Attached(pods, pods.a, "nobody")
    expect_equal(nobody.end(), 1, "status of the client that asks for nobody")
    expect("no guest nobody" in nobody.notes, f"it says {nobody.notes!r}")


def failed_move(pods: TwoPods):
    """A teleport that fails leaves the console where it was, with its input."""
    pods.clear()
    pods.a.control.must("start c image=chatter.elf memory=8M")
    console = Attached(pods, pods.a, "c")
    console.wait("the first tick", lambda: b"tick 1 " in console.bytes)
    typist = Typist(console)
    for step in ("round:0", "pause", "state", "prepare", "commit"):
        reply = pods.a.control.call(f"teleport c {pods.b.peer_address} cut={step}", 40)
        expect(not reply["ok"], f"the teleport cut at {step} succeeded")
    typed = typist.finish()
    console.wait("the last typed byte", lambda: len(parse(console.bytes)[1]) >= typed)
    pods.a.control.must("stop c")
    expect_equal(console.end(), 0, "status of the client")
    expect_equal(parse(console.bytes)[1], [i % 256 for i in range(typed)], "what the guest has heard")
    expect_equal(console.notes.count("has moved to"), 0, "moves that the client told")


def through_doubt(pods: TwoPods):
    """COMMIT arrives and its answer does not: the console goes over when the doubt is resolved, and has missed nothing."""
    pods.clear()
    pods.a.control.must("start c image=chatter.elf memory=8M")
    console = Attached(pods, pods.a, "c")
    console.wait("the first tick", lambda: b"tick 1 " in console.bytes)
    typist = Typist(console)
    pods.a.control.call(f"teleport c {pods.b.peer_address} cut=running", 40)
    console.wait("the move", lambda: "has moved to pod-b" in console.notes)
    waiting.sleep(0.3)
    typed = typist.finish()
    console.wait("the last typed byte", lambda: len(parse(console.bytes)[1]) >= typed)
    pods.b.control.must("stop c")
    expect_equal(console.end(), 0, "status of the client")
    expect_equal(parse(console.bytes)[1], [i % 256 for i in range(typed)], "what the guest has heard")


def waits_while_paused(pods: TwoPods):
    """What is typed while an operator holds the guest goes with it, and arrives once it goes on."""
    pods.clear()
    pods.a.control.must("start c image=chatter.elf memory=8M cmdline=quiet=1")
    console = Attached(pods, pods.a, "c")
    console.type(b"A")
    console.wait("an answer", lambda: console.bytes.endswith(b"in 41\n"))
    pods.a.control.must("pause c")
    console.type(b"BCD")
    waiting.sleep(0.2)
    move(pods, "c", pods.a)
    console.type(b"EF")
    waiting.sleep(0.2)
    expect_equal(console.bytes, b"in 41\n", "the console of a paused guest")
    pods.b.control.must("resume c")
    console.wait("all of it", lambda: console.bytes.endswith(b"in 46\n"))
    pods.b.control.must("stop c")
    expect_equal(console.end(), 0, "status of the client")
    expect_equal(console.bytes, b"".join(b"in %02x\n" % byte for byte in b"ABCDEF"), "what it has said")


def in_the_audit(pods: TwoPods):
    """Who asks the source while it still compares the memory of the guest that has moved is led to where it runs. The lab plays
    the target, calls itself pod-b, and never comes to an end of the comparison; pod-b has a guest of that name."""
    pods.clear()
    for pod in pods.pods:
        pod.control.must("start audited image=chatter.elf memory=8M")
    listener = wire.Listener()
    session = pods.a.open_control()
    session.begin(f"teleport audited {listener.address} audit timeout=120000")
    target = wire.FakeTarget(listener.accept(), b"pod-b")
    target.peer.send(target.ready(target.serve(wire.PREPARE)))
    expect(target.serve(wire.COMMIT), "no COMMIT came")
    target.peer.send(target.running())
    expect(target.serve(wire.AUDIT), "no AUDIT came")
    expect_equal(pods.guest(pods.a, "audited")["state"], "moved", "state on the source")
    pods.a.control.must_fail("console audited", ["it went to pod-b"])
    console = Attached(pods, pods.a, "audited")
    console.wait("the way to the other pod", lambda: "has moved to pod-b" in console.notes)
    console.type(b"x")
    console.wait("an answer", lambda: b"in 78\n" in console.bytes)
    target.peer.close()
    listener.close()
    expect(session.finish(40)["ok"], "the teleport")
    session.close()
    pods.b.control.must("stop audited")
    expect_equal(console.end(), 0, "status of the client")


def never_arrives(pods: TwoPods):
    """Who asks the target for a guest on its way, and it does not come, is not told that it was stopped."""
    pods.clear()
    pods.a.control.must("start cut image=dirtier.elf memory=16M cmdline=\"mode=burn set=512\"")
    session = pods.a.open_control()
    session.begin(f"teleport cut {pods.b.peer_address} rounds=6 downtime=1 cut=prepare")
    wait_until(lambda: pods.guest(pods.b, "cut"), 20, "it is not seen on the target", 0)
    reply = pods.b.control.call("console cut")
    console = Attached(pods, pods.b, "cut")
    expect(not session.finish(40)["ok"], "the teleport that was cut succeeded")
    session.close()
    expect_equal(console.end(20), 1, f"status of the client, which says {console.notes!r}")
    expect("stopped" not in console.notes, f"it says {console.notes!r}")
    expect(not reply["ok"] and reply["code"] == "busy", f"the console of a guest on its way: {reply}")
    expect_equal(pods.guest(pods.a, "cut")["state"], "running", "state on the source")
    pods.clear()


class EmptyPods(TwoPods):
    """Two pods with nothing but a name."""
    directory = places.BUILD / "test/empty-pods"

    def __init__(self):
        linux.built()
        Pair.__init__(self, SETTINGS, [], self.directory, links=self.links)


def linux_from_nothing(pods: EmptyPods):
    """Kernel and initrd are uploaded, Linux boots, and one console sees its shell on either pod, with a line typed across the
    move."""
    def shell(command, answer, seconds=30):
        console.type(command.encode() + b"\n")
        console.wait(f"the answer to {command}", lambda: answer.encode() in console.bytes, seconds)

    for name in (linux.KERNEL, linux.INITRD):
        status, _, said = gateway.run([places.TELEPOD, f"127.0.0.1:{pods.a.control_port}", "upload", places.LINUX / name], 90)
        expect_equal(status, 0, f"status of the upload of {name}, which said {said!r}")
    pods.a.control.must(f"start linux image={linux.KERNEL} initrd={linux.INITRD} memory=96M "
                        f"cmdline=\"{linux.CONSOLE} {linux.QUICK}\"", 60)
    console = Attached(pods, pods.a, "linux")
    console.wait("the shell", lambda: linux.PROMPT.encode() in console.bytes, linux.BOOT_SECONDS)
    shell("echo $((6 * 7)) on a", "\n42 on a")
    source = pods.a
    for turn in range(2):
        console.type(b"echo across $((100 + ")
        target = pods.other(source)
        source.control.must(f"teleport linux {target.peer_address}", 90)
        shell(f"{turn}))", f"\nacross {100 + turn}")
        source = target
    source.control.must("stop linux")
    expect_equal(console.end(), 0, "status of the client")
