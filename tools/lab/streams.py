"""Bytes that a machine says, each with the host's time of its arrival. Readers wait with a bound."""
import os
import pty
import re
import threading
import time
import tty

from .errors import LabError
from .patience import deadline, patient

LAST_WORDS_S = 0.5         # what a machine said before its end is still on its way
GATHER_S = 0.01             # between two looks at a text that grows byte by byte


class ByteLog:
    """Grows in a thread of its own that reads `fd` to its end; safe to look at from any thread."""

    def __init__(self, fd, copy=None):
        self._fd = fd
        self._copy = copy
        self._bytes = bytearray()
        self._chunks = []               # (position of the first byte, time of arrival)
        self._grown = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._closed:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                break
            if not data:
                break
            with self._grown:
                self._chunks.append((len(self._bytes), time.monotonic()))
                self._bytes += data
                self._grown.notify_all()
            if self._copy:
                self._copy.write(data)
                self._copy.flush()

    def close(self):
        self._closed = True

    @property
    def position(self):
        with self._grown:
            return len(self._bytes)

    def bytes(self, start=0, end=None):
        with self._grown:
            return bytes(self._bytes[start:end])

    def text(self, start=0, end=None):
        return self.bytes(start, end).decode("ascii", "replace").replace("\r", "")

    def lines(self, start=0):
        """Whole lines only."""
        return self.text(start).split("\n")[:-1]

    def timed_bytes(self, start=0):
        """[(time, byte)] from a position on."""
        with self._grown:
            ends = [at for at, _ in self._chunks[1:]] + [len(self._bytes)]
            return [(when, byte) for (at, when), end in zip(self._chunks, ends) if end > start
                    for byte in self._bytes[max(at, start):end]]

    def wait_for(self, pattern, seconds, start=0, alive=lambda: True):
        """The match of a regular expression in the text from `start` on; LabError when it does not come in time."""
        wanted = re.compile(pattern, re.M)
        end = deadline(seconds)
        while True:
            lives = alive()
            if not lives:
                time.sleep(LAST_WORDS_S)
            size = self.position
            found = wanted.search(self.text(start))
            if found:
                return found
            left = end - time.monotonic()
            if left <= 0 or not lives:
                tail = "\n    ".join(self.text(start).split("\n")[-12:])
                why = f"within {patient(seconds)} s" if left <= 0 else "before the machine ended"
                raise LabError(f"/{pattern}/ did not come {why}; the last lines are:\n    {tail}")
            with self._grown:
                if len(self._bytes) == size:
                    self._grown.wait(min(left, 0.2))
            time.sleep(GATHER_S)

    def wait_position(self, position, seconds):
        """Until that many bytes have come."""
        end = deadline(seconds)
        with self._grown:
            while len(self._bytes) < position:
                if not self._grown.wait(max(0, end - time.monotonic())):
                    raise LabError(f"{len(self._bytes)} bytes of {position} have come within {patient(seconds)} s")


class SerialPort:
    """A pseudo-terminal for a machine's serial port: no network stack in between that would gather bytes."""

    def __init__(self, path):
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.device = os.ttyname(self._slave)
        self._file = open(path, "wb")
        self.log = ByteLog(self._master, self._file)

    def write(self, data):
        os.write(self._master, data)

    def close(self):
        self.log.close()
        os.close(self._slave)
        os.close(self._master)
        self._file.close()
