"""What a run was made of and what was seen of it: run.json, and events.txt with all that machines said and the host put in, each
line with its instant. Two runs of one record have the same events.txt and the same cable.pcapng, to the byte."""
import fcntl
import hashlib
import json
import os
import subprocess

from . import places
from .errors import LabError

VERSION = 1
STREAMS = ("log", "com1", "com2")
PIECE = 256             # bytes of a line in events.txt
EVENTS, FRAMES, RUN = "events.txt", "cable.pcapng", "run.json"
PROGRAM = "TELEPOD_LAB_PROGRAM"     # how a program of several laboratories was called, for what it writes into run.json


def git(*words):
    done = subprocess.run(["git", "-C", str(places.ROOT), *words], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    """The commit, and what was changed since: a digest of the difference."""
    changed = git("diff", "HEAD")
    return {"commit": git("rev-parse", "HEAD") or "unknown",
            "changed": hashlib.sha256(changed.encode()).hexdigest()[:16] if changed else ""}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Record:
    def __init__(self, laboratory, about):
        self._lab = laboratory
        self._about = about
        self._events = None
        self._lines = {}                # (machine, stream) -> [ns of the first byte, bytes]
        self._machines = []
        self.foreign = 0                # what the host put in
        self.results = {}

    # ---- life --------------------------------------------------------------------------------------------------------

    def begin(self):
        """The folder is this run's alone, as long as it lasts."""
        directory = self._lab.directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise LabError(f"another laboratory works in {directory.relative_to(places.ROOT)}: wait for its end, or end it") from None
        for name in (EVENTS, FRAMES, RUN):
            (directory / name).unlink(missing_ok=True)
        self._events = open(directory / EVENTS, "w", encoding="ascii")

    def end(self):
        for key in list(self._lines):
            self._write_line(key)
        self._events.close()
        self._write_run()
        os.close(self._lock)

    # ---- events ------------------------------------------------------------------------------------------------------

    def _event(self, ns, who, what):
        self._events.write(f"{ns / 1e9:.9f} {who} {what}\n")

    def _write_line(self, key):
        ns, data = self._lines.pop(key)
        self._event(ns, f"{key[0]} {STREAMS[key[1]]}", repr(bytes(data))[2:-1])

    def said(self, ns, machine, stream, data):
        line = self._lines.setdefault((machine, stream), [ns, bytearray()])
        line[1].extend(data)
        if data.endswith(b"\n") or len(line[1]) >= PIECE:
            self._write_line((machine, stream))

    def came_in(self, who, what):
        """From the host."""
        self.foreign += 1
        self._event(self._lab.now_ns, who, what if isinstance(what, str) else repr(what)[2:-1])

    def done(self, what):
        """By the lab, between two grants: a power cut, bytes that are typed."""
        self._event(self._lab.now_ns, "lab", what)

    # ---- what it is made of ----------------------------------------------------------------------------------------------

    def machine(self, name, settings, files):
        """One that was powered on: its settings, and the files on its volume."""
        self._machines.append({"name": name, "settings": vars(settings).copy(), "at_ns": self._lab.now_ns,
                               "files": {str(file.relative_to(self._lab.directory)): digest(file) for file in files}})

    def _write_run(self):
        directory = self._lab.directory
        run = {"version": VERSION, **commit(), "program": os.environ.get(PROGRAM, "").split("\0") if PROGRAM in os.environ
               else [*self._about.get("program", [])], "seed": self._lab.seed,
               "links": {cable: {"name": name, **self._lab._links[cable].describe(self._lab.ips)} for cable, name in self._lab.links.items()},
               "faults": [fault.text for fault in self._lab.faults], "struck": self._lab.struck(),
               "emulator": (places.BOCHS.parent / "version").read_text().strip() if (places.BOCHS.parent / "version").exists() else "",
               "module": digest(places.CABLE_MODULE), "machines": self._machines, "virtual_seconds": self._lab.now(),
               "from_the_host": self.foreign, "results": self.results,
               "seen": {name: digest(directory / name) for name in (EVENTS,)}, **{key: value for key, value in self._about.items() if key != "program"}}
        (directory / RUN).write_text(json.dumps(run, indent=1) + "\n")
