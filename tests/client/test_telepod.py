#!/usr/bin/env python3
"""The operator's client against a fake pod that says what pods say, and what they should not.

usage: test_telepod.py PATH_TO_TELEPOD

Each case starts a server for one connection on a free port, with a time limit on every step, runs the client once and
looks at its exit status, its output and the line that it sent. Ends with status 0 if all cases passed.
"""
import json
import os
import pty
import select
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time

STEP_SECONDS = 40           # only what never comes costs them

ROUNDS = [
    {"round": 0, "pages": 8192, "zero_pages": 7022, "bytes": 4710000, "start_us": 2000, "duration_us": 1300000,
     "dirty_after": 120, "dirty_pages_per_s": 92, "bytes_per_s": 3623076},
    {"round": 1, "pages": 120, "zero_pages": 0, "bytes": 494000, "start_us": 1302000, "duration_us": 140000,
     "dirty_after": 8, "dirty_pages_per_s": 57, "bytes_per_s": 3528571},
]
FLIGHT = {
    "guest": "clock", "epoch": "0x1122334455667788", "source": "pod-a", "target": "pod-b", "outcome": "moved",
    "stop_reason": "converged", "memory_bytes": 33554432, "pages": 8320, "zero_pages": 7022, "bytes": 5242880,
    "state_bytes": 8192, "total_us": 1460200, "downtime_us": 12345, "floor_us": 8230,
    "floor": {"residual_pages": 8, "residual_bytes": 41000, "bytes_per_s": 3623076, "round_trip_us": 400,
              "formula": "residual_bytes / bytes_per_s + 1.5 round trips"},
    "clock": {"axis": "TSC of the source pod, from the start of the teleport", "source_tsc_hz": 50000000,
              "target_tsc_hz": 50000000, "offset_us": -3200, "offset_error_us": 210, "round_trip_us": 400, "samples": 8},
    "rounds": ROUNDS,
    "phases": [
        {"name": "connect", "pod": "pod-a", "start_us": 0, "end_us": 1200, "in_downtime": False},
        {"name": "residue", "pod": "pod-a", "start_us": 1442000, "end_us": 1448000, "in_downtime": True},
        {"name": "resume", "pod": "pod-b", "start_us": 1453000, "end_us": 1454345, "in_downtime": True},
    ],
    "audit": {"frames": 8192, "different": 0},
}
LIST = {"ok": True, "pod": "pod-a", "guests": [
    {"name": "clock", "state": "running", "reason": "", "teleporting": True, "memory_mib": 64, "cpu": 0, "vcpus": 2,
     "cpus": [0, 1], "disk_mib": 512, "devices": "net, block", "mac": "02:00:00:00:00:01", "addresses": ["10.0.3.7"], "exits": 123456, "guest_us": 7250000, "console_bytes": 900},
    {"name": "bad", "state": "halted", "reason": "triple fault at 0x1000", "teleporting": False, "memory_mib": 32,
     "cpu": 1, "vcpus": 1, "exits": 3, "guest_us": 10, "console_bytes": 0}], "recipes": ["clock", "dirtier"]}
STATS = {"ok": True, "pod": "pod-a", "uptime_us": 61000000, "tsc_hz": 50000000, "tsc_hz_measured_by": "acpi-pm",
         "vmx": "on", "cpus": [{"index": 0, "interrupts": 4711, "idle_us": 2000000}],
         "pages": {"total": 65536, "free": 32768, "free_large": 60}, "heap": {"bytes": 40000, "blocks": 12}, "threads": 9,
         "net": {"driver": "82540EM", "mac": "52:54:00:12:34:56", "address": "10.0.2.15", "link_mbit": 1000,
                 "rx_frames": 100, "pbufs": 3, "streams": 1},
         "guests": [{"name": "clock", "state": "running", "guest_us": 1000000, "exits": {"HLT": 77, "CPUID": 2},
                     "exits_total": 79}]}


def line(value):
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


class Pod(threading.Thread):
    """Serves one connection: reads a line, sends `pieces` (bytes; a number is a pause in seconds), closes."""

    def __init__(self, pieces, echo=False, linger=0):
        super().__init__(daemon=True)
        self.pieces, self.echo, self.linger, self.received = pieces, echo, linger, b""
        self.listener = socket.socket()
        self.listener.settimeout(STEP_SECONDS)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def run(self):
        try:
            connection, _ = self.listener.accept()
            connection.settimeout(STEP_SECONDS)
            while not self.received.endswith(b"\n"):
                data = connection.recv(4096)
                if not data:
                    break
                self.received += data
            for piece in self.pieces:
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                else:
                    time.sleep(piece)
            if self.echo:
                connection.sendall(connection.recv(4096).upper())
            time.sleep(self.linger)
            connection.close()
        except OSError:
            pass
        finally:
            self.listener.close()


class Failure(Exception):
    pass


def check(what, condition):
    if not condition:
        raise Failure(what)


def run(client, pieces, words, status, out=(), err=(), sent=None, options=(), stdin="", **pod_options):
    pod = Pod(pieces, **pod_options)
    pod.start()
    done = subprocess.run([client, *options, pod.address, *words], input=stdin.encode(), capture_output=True,
                          timeout=2 * STEP_SECONDS, check=False)
    pod.join(STEP_SECONDS)
    stdout, stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    story = "\nstatus %d\nstdout: %s\nstderr: %s" % (done.returncode, stdout, stderr)
    check("status %d" % status + story, done.returncode == status)
    for text in out:
        check("stdout with %r" % text + story, text in stdout)
    for text in err:
        check("stderr with %r" % text + story, text in stderr)
    if sent is not None:
        check("sent %r, not %r" % (sent, pod.received), pod.received == sent)
    return stdout


def test_list(client):
    out = run(client, [line(LIST)], ["list"], 0, sent=b"list\n",
              out=["running (teleporting)", "64 MiB", "123456", "7.250 s", "triple fault at 0x1000",
                   "can be started: clock dirtier", "512 MiB", "0, 1", "net, block",
                   "02:00:00:00:00:01", "10.0.3.7"])
    check("columns in line", len({row.index("MiB") for row in out.splitlines() if "MiB" in row}) == 1)
    run(client, [line({"ok": True, "pod": "pod-a", "guests": [], "recipes": []})], ["list"], 0, out=["no guests on pod-a"])


def test_stats(client):
    run(client, [line(STATS)], ["stats"], 0, out=["pod pod-a: up 61.000 s", "128.0 of 256.0 MiB free", "HLT", "77",
                                                  "82540EM, 10.0.2.15", "acpi-pm"])
    run(client, [line({"ok": True, "guest": STATS["guests"][0]})], ["stats", "clock"], 0, out=["79 exits", "CPUID"])


def test_refusal(client):
    run(client, [line({"ok": False, "code": "not found", "error": "no guest x on this pod"})], ["stop", "x"], 1,
        err=["no guest x on this pod (not found)"])


def test_states(client):
    run(client, [line({"ok": True, "guest": "clock", "state": "running"})], ["start", "clock"], 0, out=["clock: running"])
    run(client, [line({"ok": True})], ["stop", "clock"], 0, out=["ok"])
    run(client, [line({"ok": True, "guest": "clock", "state": "halted"})], ["halt", "clock"], 0, out=["clock: halted"],
        sent=b"halt clock\n")


def teleport_lines(**changes):
    flight = dict(FLIGHT, **changes)
    events = [line({"event": "round", "guest": "clock", "round": r}) for r in flight["rounds"]]
    return events, flight


def test_teleport(client):
    events, flight = teleport_lines()
    out = run(client, [events[0], 0.05, events[1], line({"ok": True, "flight": flight})],
              ["teleport", "clock", "10.0.2.2", "audit=1"], 0, sent=b"teleport clock 10.0.2.2 audit=1\n",
              out=["round 0 ", "8192 pages (7022 zero), 4.71 MB in 1300.0 ms, 3.62 MB/s; 120 pages dirty after",
                   "clock: moved, pod-a -> pod-b", "pre-copy ended: converged", "12.345 ms", "8.230 ms", "1.50",
                   "guest still", "1460.200 ms", "+-0.210 ms", "of 8192 frames differ", "41.0 KB"])
    check("two progress lines", sum(row.startswith("round ") for row in out.splitlines()) == 2)


def test_teleport_refused(client):
    events, flight = teleport_lines(outcome="kept", failed_step="negotiate", rounds=[], downtime_us=0, phases=[],
                                    reason="the target lacks 12 MiB of memory")
    run(client, [line({"ok": False, "code": "refused", "error": "clock: the target lacks 12 MiB of memory",
                       "flight": flight})], ["teleport", "clock", "10.0.2.2"], 1,
        out=["clock: kept", "failed at negotiate: the target lacks 12 MiB"], err=["lacks 12 MiB of memory (refused)"])
    check("no rounds", not events)


def test_text(client):
    text = "tick 1\r\ntick\x00 \x1b[31m2\n"
    run(client, [line({"event": "console", "console": "clock", "text": text, "position": 30}),
                 line({"ok": True, "position": 30, "gone": False})], ["console", "clock"], 0,
        out=["tick 1\ntick? ?[31m2\n"])
    run(client, [line({"event": "log", "text": "[ 1.0] boot: hello\n", "position": 19}),
                 line({"ok": True, "position": 19})], ["log"], 0, out=["[ 1.0] boot: hello\n"])


def test_json(client):
    events, flight = teleport_lines()
    out = run(client, [*events, line({"ok": True, "flight": flight})], ["teleport", "clock", "10.0.2.2"], 0,
              options=["--json"])
    lines = [json.loads(row) for row in out.splitlines()]
    check("three lines", len(lines) == 3 and lines[-1]["flight"] == FLIGHT and lines[0]["round"] == ROUNDS[0])
    run(client, [line({"ok": False, "code": "busy", "error": "x"})], ["list"], 1, options=["--json"],
        out=['{"ok":false,"code":"busy","error":"x"}'])


def test_quoting(client):
    ok = [line({"ok": True, "position": 0})]
    run(client, ok, ["console", "g", "input=a b\"\\\n\x7f"], 0, sent=b'console g input="a b\\"\\\\\\x0a\\x7f"\n')
    run(client, ok, ["start", "x", "cmdline=", "a b"], 0, sent=b'start x cmdline= "a b"\n')
    run(client, ok, ["teleport clock 10.0.2.2 audit"], 0, sent=b"teleport clock 10.0.2.2 audit\n")
    done = subprocess.run([client, "127.0.0.1:1", "console", "g", "input=" + "a" * 2000], capture_output=True, timeout=STEP_SECONDS,
                          check=False)
    check("too long: %r" % done.stderr, done.returncode == 2 and b"longer than 1024 bytes" in done.stderr)


def test_pieces(client):
    whole = line(LIST)
    run(client, [piece for i in range(0, len(whole), 40) for piece in (whole[i:i + 40], 0.002)], ["list"], 0,
        out=["triple fault"])
    run(client, [b"".join(teleport_lines()[0]) + line({"ok": True, "flight": FLIGHT})], ["teleport", "c", "10.0.2.2"], 0)


def test_garbage(client):
    for garbage in (b"HTTP/1.0 400 Bad Request\r\n\r\n", b"\x00\xff\xfe\n", b"[1,2]\n", b"{}\n", b'{"ok":"yes"}\n',
                    b'{"ok":true} trailing\n', b"[" * 5000 + b"\n", b"\n"):
        run(client, [garbage], ["list"], 2, err=["this is no pod"])
    run(client, [b"a" * 70000], ["list"], 2, err=["a line without end"])


def test_wrong_types(client):
    for verb in ("list", "stats", "teleport", "help", "console", "log", "start"):
        for wrong in ({"guests": 5, "recipes": {"a": 1}, "flight": 7}, {"guests": [1, None, "x"], "recipes": [1, {}]},
                      {"flight": {"rounds": [1, {"round": "x"}], "phases": "none", "floor": [], "clock": 1}},
                      {"commands": [1, {"usage": 5}], "net": [], "cpus": {}, "guest": {"exits": [1, 2]}}):
            run(client, [line({"event": "round", "round": wrong}), line({"event": "console", "text": 5}),
                         line(dict(wrong, ok=True))], [verb, "x"], 0)


def test_silence_and_end(client):
    began = time.monotonic()
    run(client, [3], ["list"], 2, options=["--timeout", "1"], err=["no answer for 1 s"])
    check("bounded", time.monotonic() - began < STEP_SECONDS)
    run(client, [], ["list"], 2, err=["closed the connection without a reply"])
    run(client, [b'{"ok":tr'], ["list"], 2, err=["closed the connection without a reply"])
    run(client, [1.5, line({"ok": True, "position": 1})], ["console", "c", "follow=20"], 0, options=["--timeout", "1"])


def test_no_pod(client):
    done = subprocess.run([client, "127.0.0.1:1", "list"], capture_output=True, timeout=STEP_SECONDS, check=False)
    check("refused", done.returncode == 2 and b"127.0.0.1:1: Connection refused" in done.stderr)
    for words in ([], ["host"], ["--timeout", "x", "host", "list"], ["--what", "host", "list"]):
        done = subprocess.run([client, *words], capture_output=True, timeout=STEP_SECONDS, check=False)
        check("usage", done.returncode == 2 and b"usage: telepod" in done.stderr)


def test_raw(client):
    run(client, [line({"ok": True, "raw": True}) + b"tick 1\n", 0.1, b"\x00\x01tick 2\n"], ["console", "clock", "raw"], 0,
        stdin="hello", echo=True, out=["tick 1\n\x00\x01tick 2\nHELLO"])
    run(client, [line({"ok": False, "code": "not found", "error": "no guest clock"})], ["console", "clock", "raw"], 1,
        err=["no guest clock"])


class Script(threading.Thread):
    """A pod by hand: serves connections one after the other, each with a function (connection, read) that plays its part."""

    def __init__(self, *parts):
        super().__init__(daemon=True)
        self.parts, self.error = parts, None
        self.listener = socket.socket()
        self.listener.settimeout(STEP_SECONDS)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1)
        self.port = self.listener.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port

    def run(self):
        try:
            for part in self.parts:
                connection, _ = self.listener.accept()
                connection.settimeout(STEP_SECONDS)
                with connection:
                    part(connection, lambda size, c=connection: read_exactly(c, size))
        except (OSError, Failure) as error:
            self.error = error
        finally:
            self.listener.close()


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise Failure("%d bytes from the client, not %d: %r" % (len(data), size, data[-60:]))
        data += piece
    return data


def expect_bytes(read, expected):
    found = read(len(expected))
    check("from the client %r, not %r" % (expected, found), found == expected)


def with_scripts(client, pods, words, status, out=b"", err=(), options=(), stdin=b""):
    for pod in pods:
        pod.start()
    done = subprocess.run([client, *options, *words], input=stdin, capture_output=True, timeout=2 * STEP_SECONDS, check=False)
    for pod in pods:
        pod.join(STEP_SECONDS)
        check("a pod's part: %s; %r" % (pod.error, done.stderr), pod.error is None)
    check("status %d, not %d: %r" % (done.returncode, status, done.stderr), done.returncode == status)
    check("stdout %r, not %r" % (done.stdout, out), done.stdout == out)
    for text in err:
        check("stderr with %r: %r" % (text, done.stderr), text.encode() in done.stderr)


def output(text, position):
    return line({"event": "console", "console": "g", "text": text, "position": position})


def test_follow(client):
    """From pod-a to pod-b, by the name that the operator has given it: output by positions, input by what was taken."""
    every_byte = "".join(map(chr, range(256)))

    def source(connection, read):
        expect_bytes(read, b"console g attach position=0\n")
        connection.sendall(line({"event": "attached", "console": "g", "pod": "pod-a"}) + output(every_byte, 1000))
        expect_bytes(read, b"hello")
        connection.sendall(line({"event": "input", "taken": 2}) + output("one\n", 1004))
        connection.sendall(line({"ok": True, "position": 1004, "taken": 3,
                                 "moved": {"pod": "pod-b", "address": "10.9.9.9", "control_port": 7}}))

    def target(connection, read):
        expect_bytes(read, b"console g attach position=1004\n")
        expect_bytes(read, b"lo")                       # what the guest had not taken, and no more
        connection.sendall(line({"event": "attached", "console": "g", "pod": "pod-b"}) + output("e\ntwo\n", 1008))
        connection.sendall(line({"event": "input", "taken": 2}) + line({"ok": True, "position": 1008, "taken": 2}))

    a, b = Script(source), Script(target)
    with_scripts(client, [a, b], [a.address, "console", "g", "attach"], 0, bytes(range(256)) + b"one\ntwo\n",
                 ["g has moved to pod-b", "g is stopped"], ["--pod", "pod-b=" + b.address], b"hello")


def test_follow_waits_for_a_place(client):
    """A pod whose sessions are all taken for a moment."""
    def full(connection, read):
        connection.sendall(line({"ok": False, "code": "busy", "error": "all sessions of this pod are taken"}))
        read(len(b"console g attach position=0\n"))

    def room(connection, read):
        expect_bytes(read, b"console g attach position=0\nhi")
        connection.sendall(line({"event": "attached"}) + output("x", 1) + line({"ok": True, "position": 1, "taken": 2}))

    pod = Script(full, full, room)
    with_scripts(client, [pod], [pod.address, "console", "g", "attach"], 0, b"x", ["g is stopped"], stdin=b"hi")


def test_follow_by_address(client):
    """Without a name for it, the address that the pod tells; what is missing is said."""
    def target(connection, read):
        expect_bytes(read, b"console g attach position=7\n")
        connection.sendall(line({"event": "attached"}) + output("x", 20) + line({"ok": True, "position": 20, "taken": 0}))

    b = Script(target)

    def source(connection, read):
        expect_bytes(read, b"console g attach position=7\n")
        connection.sendall(line({"ok": False, "code": "not found", "error": "g went to pod-b",
                                 "moved": {"pod": "pod-b", "address": "127.0.0.1", "control_port": b.port}}))

    a = Script(source)
    with_scripts(client, [a, b], [a.address, "console", "g", "attach", "position=7"], 0, b"x", ["12 bytes of the console are lost"])


def test_follow_refused(client):
    def nobody(connection, read):
        read(len(b"console g attach position=0\n"))
        connection.sendall(line({"ok": False, "code": "not found", "error": "no guest g on this pod"}))

    def silent_end(connection, read):
        read(len(b"console g attach position=0\n"))
        connection.sendall(output("tick", 4))

    def noise(connection, read):
        read(len(b"console g attach position=0\n"))
        connection.sendall(b"HTTP/1.0 400\n")

    for part, status, out, err in ((nobody, 1, b"", "no guest g"), (silent_end, 2, b"tick", "closed the connection"),
                                   (noise, 2, b"", "this is no pod")):
        pod = Script(part)
        with_scripts(client, [pod], [pod.address, "console", "g", "attach"], status, out, [err])
    def elsewhere(connection, read):
        read(len(b"console g attach position=0\n"))
        connection.sendall(line({"ok": False, "code": "not found", "error": "gone", "moved": {"pod": "x"}}))

    circle = Script(*[elsewhere] * 9)
    with_scripts(client, [circle], [circle.address, "console", "g", "attach"], 2, b"", ["no pod has it"],
                 ["--pod", "x=" + circle.address])


def test_terminal(client):
    """At a terminal, `console g` is the attached console: keys go as they are, Ctrl-] ends it, the terminal is restored."""
    arrived = threading.Event()

    def pod_part(connection, read):
        expect_bytes(read, b"console g attach position=0\n")
        connection.sendall(line({"event": "attached", "console": "g", "pod": "pod-a"}) + output("login: \r\n", 9))
        expect_bytes(read, b"ro\x03\r")
        arrived.set()
        connection.sendall(line({"event": "input", "taken": 4}))
        check("the client closes", connection.recv(100) == b"")

    pod = Script(pod_part)
    pod.start()
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    child = subprocess.Popen([client, pod.address, "console", "g"], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
    try:
        screen = b""
        while b"login: " not in screen:
            check("the console on the screen: %r" % screen, select.select([ours], [], [], STEP_SECONDS)[0])
            screen += os.read(ours, 1000)
        os.write(ours, b"ro\x03\r")
        check("the keys at the pod", arrived.wait(STEP_SECONDS))
        os.write(ours, b"\x1d")
        check("status", child.wait(STEP_SECONDS) == 0)
        check("it tells the way out", b"Ctrl-] detaches" in child.stderr.read())
        check("the terminal is as before", termios.tcgetattr(theirs) == before)
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
        os.close(ours)
        os.close(theirs)
    pod.join(STEP_SECONDS)
    check("the pod's part: %s" % pod.error, pod.error is None)


def test_upload(client):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(client))) as folder:
        path = os.path.join(folder, "work.img")
        content = bytes(i * 7 % 251 for i in range(300001))
        with open(path, "wb") as file:
            file.write(content)

        def takes(connection, read):
            expect_bytes(read, b"upload work.img 300001 crc32c=a3add79e\n")
            connection.sendall(line({"event": "send", "bytes": 300001}))
            expect_bytes(read, content)
            connection.sendall(line({"ok": True, "image": "work.img", "bytes": 300001, "crc32c": "0x0"}))

        def refuses(connection, read):
            expect_bytes(read, b"upload \"my kernel\" 300001 crc32c=a3add79e\n")
            connection.sendall(line({"ok": False, "code": "exists already", "error": "there is one"}))

        def dies(connection, read):
            read(20)
            connection.sendall(line({"event": "send", "bytes": 300001}))
            read(50000)

        for part, words, status, out, err in ((takes, [path], 0, b"work.img: 300001 bytes, CRC32C 0x0\n", ""),
                                              (refuses, [path, "my kernel"], 1, b"", "there is one"),
                                              (dies, [path], 2, b"", "")):
            pod = Script(part)
            with_scripts(client, [pod], [pod.address, "upload", *words], status, out, [err])
        for words in ([path + "x"], [folder], [], [path, "a", "b"]):
            done = subprocess.run([client, "127.0.0.1:1", "upload", *words], capture_output=True, timeout=STEP_SECONDS, check=False)
            check("%r: %d %r" % (words, done.returncode, done.stderr), done.returncode == 2 and done.stderr.startswith(b"telepod: "))


def test_images(client):
    run(client, [line({"ok": True, "pod": "pod-a", "free_kib": 2048, "images": [
        {"name": "a.elf", "bytes": 100, "from": "boot volume", "state": "ready", "users": 0},
        {"name": "b.img", "bytes": 5, "from": "upload", "state": "arriving", "users": 0}]})], ["images"], 0,
        out=["a.elf", "boot volume", "arriving", "2.0 MiB of memory are free on pod-a"])


def test_pods(client):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(client))) as folder:
        path = os.path.join(folder, "pods")
        with open(path, "w", encoding="ascii") as file:
            file.write("# where they are\n\npod-a=127.0.0.1:1\npod-b\n")
        for options in (["--pods", path], ["--pods", path + "x"], ["--pod", "a"], ["--pod", "=b"], ["--pod", "a="]):
            done = subprocess.run([client, *options, "host", "list"], capture_output=True, timeout=STEP_SECONDS, check=False)
            check("%r: %d" % (options, done.returncode), done.returncode == 2)
        done = subprocess.run([client, "--pods", path, "host", "list"], capture_output=True, timeout=STEP_SECONDS, check=False)
        check("the line: %r" % done.stderr, b"line 4: expected NAME=HOST:PORT" in done.stderr)


def test_report(client):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(client))) as folder:
        path = os.path.join(folder, "teleport.json")
        for content, status, text in ((json.dumps(FLIGHT, indent=1), 0, "12.345 ms"),
                                      (json.dumps({"ok": True, "flight": FLIGHT}), 0, "12.345 ms"),
                                      ("{}", 2, "no flight record"), ("x", 2, "no flight record"), ("", 2, "no flight"),
                                      (" " * (1 << 21), 2, "longer than any")):
            with open(path, "w", encoding="ascii") as file:
                file.write(content)
            done = subprocess.run([client, "report", path], capture_output=True, timeout=STEP_SECONDS, check=False)
            check("report %r: %d %r" % (content[:9], done.returncode, done.stderr),
                  done.returncode == status and text in (done.stdout + done.stderr).decode())
        done = subprocess.run([client, "report", path + "x"], capture_output=True, timeout=STEP_SECONDS, check=False)
        check("a missing file", done.returncode == 2 and b"No such file" in done.stderr)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    failed = 0
    tests = [(name, fn) for name, fn in globals().items() if name.startswith("test_")]
    for name, fn in tests:
        try:
            fn(sys.argv[1])
            print("  ok    client/%s" % name[len("test_"):])
        except (Failure, subprocess.TimeoutExpired, ValueError) as error:
            failed += 1
            print("  FAIL  client/%s: expected %s" % (name[len("test_"):], error))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
