"""A pod that boots empty: its telepod.ini has a [pod] section and nothing else. All its work comes over the network."""
import random

from tests.guest.one_pod import OnePod
from tools.lab import gateway, places, waiting
from tools.lab.bochs import Alone
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.machine import CONTROL_PORT
from tools.lab.pair import expect_back, resources, settled

from tools.lab.settings import Machine, Pod
from tools.lab.waiting import deadline, wait_until

SETTINGS = Machine(ips=100_000_000)
MIB_LEFT_TO_THE_POD = 40


class EmptyPod:
    directory = places.BUILD / "test/empty-pod"

    def __init__(self):
        self._alone = Alone(SETTINGS, Pod("pod-e"), self.directory)
        self.pod = self._alone.machine

    def start(self):
        self._alone.start()
        self.pod.ready()

    def usable(self):
        return self.pod.alive()

    def stop(self):
        self._alone.stop()

    # ---- for tests -----------------------------------------------------------------------------------------------

    def must(self, command, seconds=20):
        return self.pod.control.must(command, seconds)

    def client(self, *words, seconds=60):
        """The operator's own tool; (status, what it said)."""
        status, output, errors = gateway.run([places.TELEPOD, f"127.0.0.1:{self.pod.control_port}", *map(str, words)], seconds)
        return status, (output + errors).decode()

    def upload(self, path, name=""):
        status, said = self.client("upload", path, *([name] if name else []))
        expect_equal(status, 0, f"status of the upload of {path}, which said {said!r}")

    def have(self, *names):
        """The files of those guests are on the pod."""
        there = self.files()
        for name in names:
            if f"{name}.elf" not in there:
                self.upload(places.guest_image(name))

    def files(self):
        return {image["name"]: image["bytes"] for image in self.must("images")["images"]}

    def guest(self, name):
        return {guest["name"]: guest for guest in self.must("list")["guests"]}.get(name)

    def wait_halted(self, name, seconds=30):
        wait_until(lambda: self.guest(name)["state"] == "halted", seconds, lambda: f"{name} does not end: {self.guest(name)}")
        return self.guest(name)

    def said(self, name):
        text = []
        self.pod.control.must(f"console {name} position=0", 20, lambda event: text.append(event.get("text", "")))
        return "".join(text).replace("\r", "")

    def must_fail(self, command, words):
        self.pod.control.must_fail(command, words)


def gets_its_work(fixture: EmptyPod):
    """Upload, start, stop, remove: twice, and the second time leaves the pod as it was."""
    expect_equal(fixture.must("list")["recipes"], [], "recipes of an empty pod")
    for turn in range(2):
        before = settled(fixture.pod, resources)
        fixture.upload(places.guest_image("clock"), "work.elf")
        expect_equal(fixture.files()["work.elf"], places.guest_image("clock").stat().st_size, "bytes of work.elf")
        start = fixture.pod.log.position
        fixture.must("start w image=work.elf memory=8M cmdline=hz=50 vcpus=1")
        fixture.must("remove work.elf")             # the guest goes on without its file
        fixture.pod.wait_log(r"\[w\] tick 20 ", 15, start)
        fixture.must("stop w")
        expect("work.elf" not in fixture.files(), "work.elf was not removed")
    expect_back(fixture.pod, resources, before, f"resources after turn {turn}")


def large_file(fixture: EmptyPod):
    """Several blocks of 2 MiB and an odd end; the pod's checksum agrees with ours."""
    before = settled(fixture.pod, resources)
    path = fixture.directory / "large.img"
    path.write_bytes(random.Random(3).randbytes((5 << 20) + 12345))
    fixture.upload(path)
    expect_equal(fixture.files()["large.img"], (5 << 20) + 12345, "bytes of large.img")
    expect(settled(fixture.pod, resources)["pages"] <= before["pages"] - 3 * 512, "the file takes no memory")
    fixture.have("clock")
    fixture.must_fail("start d image=clock.elf disk=large.img disk_size=4M", ["large.img has 5255225 bytes, and disk_size is 4194304"])
    fixture.must("start d image=clock.elf disk=large.img memory=8M paused")
    expect_equal(fixture.guest("d")["disk_mib"], 6, "MiB of a disk of 5 MiB and a bit")
    fixture.must("stop d")
    fixture.must("remove clock.elf")
    fixture.must("remove large.img")
    after = settled(fixture.pod, resources)
    # The tables above the window of blocks stay: at most one page for each GiB that was ever mapped there.
    expect(before["pages"] - after["pages"] <= 3 and {**after, "pages": 0} == {**before, "pages": 0},
           f"resources after it was removed: {before}, then {after}")


def remove_boot_file(fixture: OnePod):
    """A file that the loader has read: its memory comes back, and the guests that need it are told."""
    size = {image["name"]: image["bytes"] for image in fixture.must("images")["images"]}["noise.elf"]
    before = settled(fixture.pod, resources)
    fixture.must("remove noise.elf")
    after = settled(fixture.pod, resources)
    expect_equal(after["pages"] - before["pages"], -(-size // 4096), "pages that came back")
    fixture.pod.control.must_fail("start noise", ["no image file noise.elf"])


def broken_off(fixture: EmptyPod):
    """Connections that end at every stage of an upload leave nothing behind, and the name free."""
    def attempt(sent, end):
        with fixture.pod.connect(CONTROL_PORT) as connection:
            connection.settimeout(10)
            connection.sendall(b"upload part.img 3000000\n")
            if sent is None:
                return
            answer = connection.recv(4096)
            if b"is being uploaded" in answer and waiting.now() < end:
                waiting.sleep(0.1)     # the pod has yet to see that the attempt before has ended
                return attempt(sent, end)
            expect(b'"event":"send"' in answer, f"no invitation to send: {answer!r}")
            connection.sendall(bytes(sent))

    attempt(100000, deadline(10))                                 # once, for what grows only once
    gone(fixture)
    before = settled(fixture.pod, resources)
    for sent in (None, 0, 1, 70000, 2999999):
        attempt(sent, deadline(10))
        gone(fixture)
    expect_back(fixture.pod, resources, before, "resources after uploads that broke off")
    expect("broke off" in fixture.pod.log.text(), "the log says nothing of it")


def gone(fixture, seconds=30):
    wait_until(lambda: "part.img" not in fixture.files(), seconds, "the unfinished file stays")


def refused(fixture: EmptyPod):
    fixture.have("hello")
    status, said = fixture.client("upload", places.guest_image("hello"))
    expect(status == 1 and "there is a file of that name" in said, f"the second upload: {status}, {said!r}")
    fixture.must_fail("upload big.img 3000000000", ["big.img cannot be uploaded", "KiB of memory", "free"])
    fixture.must_fail("upload ../x 5", ["a file's name"])
    fixture.must_fail("upload x 0", ["at least 1"])
    fixture.must_fail("remove nothing.elf", ["no file nothing.elf"])
    session = fixture.pod.open_control()
    session.begin("upload spoilt 5 crc32c=00000000\nhello")
    reply = session.finish(10)
    session.close()
    expect(not reply["ok"] and "CRC32C" in reply["error"], f"a spoilt file: {reply}")
    expect("spoilt" not in fixture.files(), "a spoilt file is kept")
    status, said = fixture.client("upload", fixture.directory / "no-such-file")
    expect(status == 2 and "No such file" in said, f"a file that is not there: {status}, {said!r}")


def bad_starts(fixture: EmptyPod):
    """Each of these is one sentence, and nothing is started."""
    fixture.have("clock")
    before = settled(fixture.pod, resources)
    trials = [("image=nothing.elf", ["no image file nothing.elf"]),
              ("image=clock.elf initrd=nothing", ["no initrd file nothing"]),
              ("image=clock.elf disk=nothing", ["no disk file nothing"]),
              ("image=clock.elf vcpus=17", ["from 1 to 16"]),
              ("image=clock.elf cpu=3", ["no CPU 3"]),
              ("image=clock.elf memory=16G", ["16384 MiB of memory", "lacks"]),
              ("image=clock.elf memory=8M disk_size=16G", ["disk of 16384 MiB", "lacks"]),
              ("image=clock.elf devices=block", ["no disk or disk_size"]),
              ("image=clock.elf devices=floppy", ["some of net, block, console, entropy"]),
              ("image=clock.elf mac=ff:ff:ff:ff:ff:ff", ["a station's"])]
    for options, words in trials:
        fixture.must_fail(f"start x {options}", words)
    fixture.must("start one image=clock.elf memory=8M mac=02:00:00:00:00:31")
    fixture.must_fail("start one image=clock.elf", ["there is a guest one already"])
    fixture.must_fail("start two image=clock.elf mac=02:00:00:00:00:31", ["MAC 02:00:00:00:00:31", "one"])
    expect_equal([guest["name"] for guest in fixture.must("list")["guests"]], ["one"], "guests")
    fixture.must("stop one")
    expect_back(fixture.pod, resources, before, "resources after all that was refused")


def starts_again(fixture: EmptyPod):
    """A guest that ended stays, and starts again: its console goes on where it was."""
    fixture.have("hello")
    fixture.must("start h image=hello.elf memory=8M")
    expect("HLT" in fixture.wait_halted("h")["reason"], "it says why it ended")
    fixture.must_fail("start h memory=16M", ["only image, initrd and cmdline"])
    fixture.must_fail("resume h", ["it is halted"])
    for turn in range(3):
        fixture.must("start h cmdline=exit=7" if turn == 2 else "start h")
        halted = fixture.wait_halted("h")
        expect_equal(fixture.said("h").count("hello: long mode"), turn + 2, "times that it has said hello")
    expect_equal(halted["reason"], "exit code 7", "the reason after another command line")
    fixture.must("stop h")
    expect(fixture.guest("h") is None, "it is still there after stop")


def disk_is_kept(fixture: EmptyPod):
    """The disk of a guest that ended is as the guest left it; after stop, a guest of the same name has a new one."""
    fixture.have("virtio_block")
    fixture.must("start b image=virtio_block.elf memory=8M disk_size=2M cmdline=\"count=2 disk=0\"")
    expect_equal(fixture.wait_halted("b")["reason"], "exit code 0", "the first run, on a disk of zeros")
    fixture.must("start b cmdline=\"count=1 disk=0\"")
    expect_equal(fixture.wait_halted("b")["reason"], "exit code 1", "the second run, which wants zeros and must not find them")
    fixture.must("start b cmdline=\"count=2 disk=1\"")
    expect_equal(fixture.wait_halted("b")["reason"], "exit code 0", "the third run, on any disk")
    fixture.must("stop b")
    fixture.must("start b image=virtio_block.elf memory=8M disk_size=2M cmdline=\"count=1 disk=0\"")
    expect_equal(fixture.wait_halted("b")["reason"], "exit code 0", "another guest, on a disk of zeros")
    fixture.must("stop b")
    fixture.must("start b image=virtio_block.elf disk=virtio_block.elf memory=8M disk_size=2M cmdline=\"count=1 disk=0\"")
    expect_equal(fixture.wait_halted("b")["reason"], "exit code 1", "a guest whose disk holds a file")
    fixture.must("stop b")


def memory_is_zero(fixture: EmptyPod):
    """A guest fills nearly all memory of the pod; the next one, which has to get the same frames, finds only zeros."""
    fixture.have("zeros")
    free = fixture.must("stats")["pages"]["free_large"] * 2
    memory = free - MIB_LEFT_TO_THE_POD
    expect(memory * 2 > free, f"only {free} MiB are free: two guests need not share a frame")
    for mode in ("fill", "look"):
        fixture.must(f"start z image=zeros.elf memory={memory}M cmdline=mode={mode}", 60)
        reason = fixture.wait_halted("z", 90)["reason"]
        said = fixture.said("z")
        fixture.must("stop z", 60)
        if reason != "exit code 0" or "zeros: pass" not in said:
            raise Failure(f"{mode}: {reason}; it said {said[-300:]!r}")


def memory_is_zero_after_a_restart(fixture: EmptyPod):
    fixture.have("zeros")
    fixture.must("start z image=zeros.elf memory=16M cmdline=mode=fill")
    fixture.wait_halted("z")
    fixture.must("start z cmdline=mode=look")
    expect_equal(fixture.wait_halted("z")["reason"], "exit code 0", "the look after a restart")
    fixture.must("stop z")
