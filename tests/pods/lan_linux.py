"""An unmodified Linux on the LAN, with connections that a real Linux host has opened to it: they stay open while the guest
moves to and fro ten times, and no byte of them is wrong."""
import re
import signal
import socket
import threading

from tests.pods import lan
from tests.pods.lan_pods import LanPods
from tools.lab import children, linux, waiting, witness
from tools.lab.errors import Failure, expect, expect_equal
from tools.lab.observer import TYPE_IPV4

from tools.lab.probe import Prober
from tools.lab.settings import Machine
from tools.lab.waiting import deadline

MOVES, MOVES_MOST = 10, 13
LINES_PORT = 7
PROTOCOL_TCP, TCP_RST = 6, 0x04
LINE_SECONDS = 30           # for an answer, downtime and retransmissions included
PING_INTERVAL = "0.1"
LEASE_SECONDS = 60
PROBE_INTERVAL = 0.02       # seconds: a question costs Linux much more than net_echo
FACTOR, MODULUS = 2654435761, 10**10        # of /cgi-bin/slow (guests/linux/root/slow)
DOWNLOAD_LINE = len("0000000000 0000000000\n")


class LinuxPods(LanPods):
    directory = LanPods.directory.parent / "lan-linux"
    settings = Machine(ips=25_000_000)         # both pods are busy: what a host of two cores holds

    def make_guests(self):
        linux.built()
        return [linux.guest(cmdline=f"{linux.QUICK} work=probes", devices="net", memory="96M")]


class Session(threading.Thread):
    """An interactive TCP session: a line out, the same line back with its number, for as long as it runs."""

    def __init__(self, pods, address):
        super().__init__(daemon=True)
        with pods.lan.host.inside():
            self._socket = socket.create_connection((address, LINES_PORT), 20)
        self._socket.settimeout(LINE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = 0
        self.slowest = 0.0
        self.wrong = ""
        self._running = True

    def run(self):
        stream = self._socket.makefile("rb")
        try:
            while self._running:
                line = f"line {self.lines + 1} at {waiting.now():.6f}"
                began = waiting.now()
                self._socket.sendall(line.encode() + b"\n")
                answer = stream.readline().decode("ascii", "replace").rstrip("\n")
                if answer != f"{self.lines + 1} {line}":
                    self.wrong = f"to {line!r} came {answer!r}"
                    return
                self.lines += 1
                self.slowest = max(self.slowest, waiting.now() - began)
                waiting.sleep(0.1)
        except OSError as error:
            self.wrong = f"after {self.lines} lines: {error}"

    def end(self):
        self._running = False
        self.join(LINE_SECONDS + 5)
        self._socket.close()
        if self.wrong:
            raise Failure(f"the TCP session: {self.wrong}")


class Download:
    """curl of a download that takes its time, until the guest is told that it is enough; every byte of it is known."""

    def __init__(self, pods, address, pause_us=500_000, lines=1_000_000):
        self._path = pods.directory / "download"
        self._path.unlink(missing_ok=True)
        self._child = pods.lan.spawn(["curl", "-sS", "-N", "--max-time", "900", "-o", str(self._path), "-w", "%{http_code} %{errormsg}",
                                      f"http://{address}/cgi-bin/slow?lines={lines}&us={pause_us}"], stdout=-1, stderr=-1)

    def here(self):
        return self._path.stat().st_size if self._path.exists() else 0

    def ended(self):
        return self._child.poll() is not None

    def check(self, seconds=60):
        try:
            said, complaint = self._child.communicate(timeout=seconds)
        finally:
            children.stop(self._child)
        expect_equal(self._child.returncode, 0, f"exit status of curl ({said.decode()} {complaint.decode()})")
        lines = self._path.read_text().split("\n")
        expect_equal(lines.pop(), "", "what follows the download's last line")
        for number, line in enumerate(lines):
            expect_equal(line, f"{number:010d} {number * FACTOR % MODULUS:010d}", f"line {number} of the download")
        return len(lines)


def both_go_on(session, download, after, seconds=LINE_SECONDS):
    """The session and the download, each alive and further than it was: a connection that hangs is none that survived."""
    lines, size, end = session.lines, download.here(), deadline(seconds)
    while session.lines <= lines or download.here() <= size:
        expect(not session.wrong, f"{after}, the TCP session: {session.wrong}")
        expect(not download.ended(), f"{after}: curl has ended")
        expect(waiting.now() < end, f"{after}, within {seconds} s: {session.lines - lines} lines of the session, "
               f"{download.here() - size} bytes downloaded")
        waiting.sleep(0.1)


def resets(frames):
    """TCP segments with RST, of anybody."""
    return [frame for frame in frames if frame.kind == TYPE_IPV4 and len(frame.data) > 47 and frame.data[23] == PROTOCOL_TCP
            and frame.data[47] & TCP_RST]


def boot(pods):
    """Starts the guest; the address that the host's DHCP server gave it."""
    pods.clear()
    start = pods.a.com2.log.position
    pods.a.control.must("start linux")
    found = pods.a.com2.log.wait_for(r"guest: address ([\d.]+)/\d+", linux.BOOT_SECONDS + LEASE_SECONDS, start, pods.a.alive)
    return found[1]


class Traffic:
    """What a host does with the guest meanwhile: ping, an interactive session, a slow download. end() is hard: no reset, no byte
    wrong, everything got further."""

    def __init__(self, pods, address):
        self._pods = pods
        self._pinger = pods.lan.spawn(["ping", "-n", "-q", "-i", PING_INTERVAL, address], stdout=-1, stderr=-1)
        self.session, self.download = Session(pods, address), Download(pods, address)
        self.session.start()
        self._resets = 0

    def goes_on(self, after):
        """To be asked after each move, before the observer forgets."""
        self._resets += len(resets(self._pods.observer.frames()))
        both_go_on(self.session, self.download, after)

    def end(self, pod):
        self.session.end()
        self._pinger.send_signal(signal.SIGINT)
        said = self._pinger.communicate(timeout=10)[0].decode()
        children.stop(self._pinger)
        print(f"session: {self.session.lines} lines, the slowest {self.session.slowest * 1000:.0f} ms; ping: "
              + "; ".join(line for line in said.split("\n") if "packets" in line or "rtt" in line), flush=True)
        expect_equal(self._resets, 0, "TCP resets on the LAN")
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())
        expect(received > 0.8 * sent, f"{sent} pings, {received} answers")
        linux.type_text(pod, "linux", "touch /tmp/enough\n")
        there = self.download.here()
        count = self.download.check()
        expect(count * DOWNLOAD_LINE >= there > 0, f"{there} bytes had come, and {count} lines were checked")
        print(f"download: {count} lines, all right", flush=True)


def testimonies(pods: LinuxPods, enough):
    """Moves to and fro beside that traffic until enough(moves made, moves that count); [Testimony] of those that count."""
    address = boot(pods)
    expect_equal(pods.ping(address), 5, "answers to five pings")
    traffic = Traffic(pods, address)
    source, made, found = pods.a, 0, []
    print(witness.HEADER, flush=True)
    with Prober(pods.lan, address, PROBE_INTERVAL):
        while not enough(made, len(found)):
            pods.observer.forget()
            lines, size = traffic.session.lines, traffic.download.here()
            testimony, doubts = lan.one_move(pods, "linux", source)
            source = pods.other(source)
            made += 1
            traffic.goes_on(f"after move {made}")
            print(f"{testimony.line()}, meanwhile {traffic.session.lines - lines} lines, {traffic.download.here() - size} bytes"
                  + (f"; does not count: {doubts}" if doubts else ""), flush=True)
            if not doubts:
                found.append(testimony)
    traffic.end(source)
    pods.clear()
    return found


def ten_times(pods: LinuxPods):
    """Ten moves; a few more if the host was too busy for the times of these to mean anything. Connections are judged in any
    case, the three witnesses wherever what was measured of them leaves no doubt (lan.doubts)."""
    found = testimonies(pods, lambda made, counted: made >= MOVES and counted >= lan.MOVES_LEAST or made >= MOVES_MOST)
    if found:
        lan.must_agree(found)
    if len(found) < lan.MOVES_LEAST:
        print(f"the host does not keep up with the machines: only {len(found)} moves can be counted", flush=True)
