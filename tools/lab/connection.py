"""TCP connections of the lab's host on the cable, in virtual time. They look like sockets as far as the lab uses these."""
import ctypes

from . import library
from .errors import LabError

LISTEN_PORTS = range(7100, 7200)        # behind which a teleport's records are recognized


class Connection:
    def __init__(self, laboratory, number):
        self._lab, self._number = laboratory, number
        self._library = laboratory.library
        self._seconds = None            # for recv(); None: without a bound

    @classmethod
    def begin(cls, laboratory, address, port):
        """On its way; what is sent meanwhile goes out when it is there."""
        number = laboratory.library.station_connect(address.encode(), port)
        if number < 0:
            raise OSError(f"no connection to {address}:{port} can be begun")
        return cls(laboratory, number)

    @classmethod
    def open(cls, laboratory, address, port, seconds):
        connection = cls.begin(laboratory, address, port)
        connection._wait(lambda: connection._status & (library.OPEN | library.FAILED), seconds)
        if not connection._status & library.OPEN:
            refused = connection._status & library.FAILED
            connection.close(abort=True)
            raise ConnectionRefusedError("refused") if refused else TimeoutError(f"no answer within {seconds} s")
        return connection

    @property
    def _status(self):
        return self._library.station_status(self._number)

    def _wait(self, condition, seconds):
        """Whether it came to hold."""
        end = None if seconds is None else self._lab.now_ns + round(seconds * 1e9)
        while not (found := condition()):
            if end is not None and self._lab.now_ns >= end:
                return False
            self._lab.run_for_news(self._lab.now_ns + 1_000_000_000 if end is None else end)
        return found

    def settimeout(self, seconds):
        self._seconds = seconds

    def readable(self):
        """Bytes that recv() would give at once."""
        return self._library.station_readable(self._number)

    def ended(self):
        """The peer sends nothing more, and all that it sent was read."""
        return not self.readable() and bool(self._status & (library.PEER_ENDED | library.FAILED))

    def failed(self):
        return bool(self._status & library.FAILED)

    def unsent(self):
        return self._library.station_unsent(self._number)

    def recv(self, size):
        """What has come, at most `size`; b"" at the end. TimeoutError, ConnectionResetError as a socket's."""
        if not self._wait(lambda: self.readable() or self._status & (library.PEER_ENDED | library.FAILED), self._seconds):
            raise TimeoutError("nothing came in time")
        data = self.recv_now(size)
        if not data and self.failed() and not self._status & library.PEER_ENDED:
            raise ConnectionResetError("the connection was reset")
        return data

    def recv_now(self, size):
        size = min(size, self.readable())
        buffer = bytearray(size)
        into = (ctypes.c_char * size).from_buffer(buffer) if size else None
        self._library.station_read(self._number, into, size)
        return bytes(buffer)

    def sendall(self, data):
        if not self._library.station_write(self._number, bytes(data), len(data)):
            raise BrokenPipeError("the connection has ended")

    def shutdown(self, _how=None):
        """Sends nothing more."""
        if self.failed():
            raise BrokenPipeError("the connection has ended")
        self._library.station_end(self._number)

    def close(self, abort=False):
        if self._number is not None and self._lab.library:
            self._library.station_close(self._number, abort)
        self._number = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Listener:
    """A port of the lab's host."""

    def __init__(self, laboratory, port=None):
        self._lab = laboratory
        for number in [port] if port else LISTEN_PORTS:
            self._number = laboratory.library.station_listen(number)
            if self._number >= 0:
                self.port = number
                return
        raise LabError("the lab's host has no port left to listen on")

    def accept(self, seconds):
        """TimeoutError if nobody connects in time."""
        waits = Connection(self._lab, self._number)
        found = []

        def look():
            number = self._lab.library.station_accept(self._number)
            if number >= 0:
                found.append(number)
            return found

        if not waits._wait(look, seconds):
            raise TimeoutError("nobody connected")
        return Connection(self._lab, found[0])

    def close(self):
        if self._lab.library:
            self._lab.library.station_close(self._number, True)
