"""Bytes that a machine says, each with the time of its arrival by the clock that rules: virtual in a laboratory, where they carry
the instant at which the machine said them. Readers wait with a bound."""
import os
import pty
import re
import threading
import time
import tty

from . import waiting
from .errors import LabError

LAST_WORDS_S = 0.5         # what a machine of the host's time said before its end is still on its way


class ByteLog:
    """Grows by append(); safe to look at from any thread."""

    def __init__(self, copy=None):
        self._copy = copy
        self._bytes = bytearray()
        self._chunks = []               # (position of the first byte, time)
        self._lock = threading.Lock()
        self._followers = []            # [position, called with each whole line]

    def append(self, data, when):
        with self._lock:
            self._chunks.append((len(self._bytes), when))
            self._bytes += data
        if self._copy:
            self._copy.write(data)
            self._copy.flush()
        if b"\n" in data:
            self._tell_followers()

    def follow(self, heard, start=0):
        """heard(line) for each whole line from there on."""
        self._followers.append([start, heard])
        self._tell_followers()

    def _tell_followers(self):
        for follower in self._followers:
            whole, newline, _ = self.bytes(follower[0]).rpartition(b"\n")
            follower[0] += len(whole) + len(newline)
            for line in whole.split(b"\n") if newline else []:
                follower[1](line.decode("ascii", "replace").strip("\r"))

    @property
    def position(self):
        with self._lock:
            return len(self._bytes)

    def bytes(self, start=0, end=None):
        with self._lock:
            return bytes(self._bytes[start:end])

    def text(self, start=0, end=None):
        return self.bytes(start, end).decode("ascii", "replace").replace("\r", "")

    def lines(self, start=0):
        """Whole lines only."""
        return self.text(start).split("\n")[:-1]

    def timed_bytes(self, start=0):
        """[(seconds, byte)] from a position on."""
        with self._lock:
            ends = [at for at, _ in self._chunks[1:]] + [len(self._bytes)]
            return [(when, byte) for (at, when), end in zip(self._chunks, ends) if end > start
                    for byte in self._bytes[max(at, start):end]]

    def wait_for(self, pattern, seconds, start=0, alive=lambda: True):
        """The match of a regular expression in the text from `start` on; LabError when it does not come in time."""
        wanted = re.compile(pattern, re.M)
        end, size = waiting.deadline(seconds), -1
        while True:
            lives = alive()
            if not lives:
                waiting.sleep(LAST_WORDS_S)
            if self.position != size:
                size = self.position
                if found := wanted.search(self.text(start)):
                    return found
            over = waiting.now() >= end
            if over or not lives:
                tail = "\n    ".join(self.text(start).split("\n")[-12:])
                why = f"within {seconds} s" if lives else "before the machine ended"
                raise LabError(f"/{pattern}/ did not come {why}; the last lines are:\n    {tail}")
            waiting.sleep(waiting.PAUSE)

    def wait_position(self, position, seconds):
        """Until that many bytes have come."""
        end = waiting.deadline(seconds)
        while self.position < position:
            if waiting.now() >= end:
                raise LabError(f"{self.position} bytes of {position} have come within {seconds} s")
            waiting.sleep(waiting.PAUSE)


class Reader:
    """Reads a descriptor to its end into a log, in a thread of its own: for emulators that live in the host's time."""

    def __init__(self, fd, log):
        self._fd, self._log, self._closed = fd, log, False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while not self._closed:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                break
            if not data:
                break
            self._log.append(data, time.monotonic())

    def close(self):
        self._closed = True


class Terminal:
    """A pseudo-terminal for such a machine's serial port."""

    def __init__(self, path):
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.device = os.ttyname(self._slave)
        self._file = open(path, "wb")
        self.log = ByteLog(self._file)
        self._reader = Reader(self._master, self.log)

    def write(self, data):
        os.write(self._master, data)

    def close(self):
        self._reader.close()
        os.close(self._slave)
        os.close(self._master)
        self._file.close()


class CablePort:
    """A serial port of a machine of the laboratory's."""

    def __init__(self, path, type_now):
        """type_now(bytes): how many of them the port took."""
        self._file = open(path, "wb")
        self.log = ByteLog(self._file)
        self._type_now = type_now
        self._waiting = b""

    def write(self, data):
        """Typed at once, as far as there is room, the rest as the machine takes it."""
        self._waiting += data
        self.type_on()

    def type_on(self):
        if self._waiting:
            self._waiting = self._waiting[self._type_now(self._waiting):]

    def close(self):
        self._file.close()
