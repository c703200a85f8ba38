"""The way from the host's 127.0.0.1 to a pod, for programs that live in the host's time: the operator's client, an editor, a
browser. Bytes go over between two grants, and what came in, with the instant, is recorded: it is the one thing in a run that the
lab did not decide."""
import random
import socket
import subprocess
import tempfile

from . import children, places
from .errors import LabError
from .waiting import wait_until

PORTS = range(21000, 32000)     # below the host's ephemeral ports
TRIES = 100
CHUNK = 65536


def listen():
    """A port of the loopback device that nobody else has."""
    for _ in range(TRIES):
        try:
            return socket.create_server(("127.0.0.1", random.choice(PORTS)), backlog=64)
        except OSError:
            continue
    raise LabError("there is no free TCP port on 127.0.0.1")


def run(words, seconds, **options):
    """A program of the host's that takes part and ends by itself: (exit status, what it said, its complaints)."""
    from .laboratory import current
    with current().host_program(), tempfile.TemporaryFile(dir=places.BUILD) as output, tempfile.TemporaryFile(dir=places.BUILD) as errors:
        child = children.spawn(words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, **options)
        try:
            wait_until(lambda: child.poll() is not None, seconds, f"{words[0]} has not ended within {seconds} s")
        finally:
            children.stop(child)
        for file in (output, errors):
            file.seek(0)
        return child.returncode, output.read(), errors.read()


class Forward:
    def __init__(self, laboratory, address, port):
        self._lab, self.address, self.port = laboratory, address, port
        self._server = listen()
        self._server.setblocking(False)
        self.host_port = self._server.getsockname()[1]
        self._links = []

    def busy(self):
        return bool(self._links)

    def work(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                break
            self._links.append(Link(self._lab, client, self.address, self.port))
        self._links = [link for link in self._links if link.work()]

    def close(self):
        for link in self._links:
            link.close()
        self._server.close()


class Link:
    """One connection from the host."""
    _count = 0

    def __init__(self, laboratory, client, address, port):
        Link._count += 1
        self._record, self._name = laboratory.record, f"host {Link._count} to {address}:{port}"
        self._client = client
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = laboratory.begin(address, port)
        self._back = b""
        self._client_ended = self._pod_ended = False
        self._record.came_in(self._name, "connects")

    def work(self):
        """Whether there is more to do."""
        try:
            self._forth()
            self._and_back()
        except OSError:
            self.close()
            return False
        if self._client_ended and self._pod_ended:
            self.close()
            return False
        return True

    def _forth(self):
        while not self._client_ended and self._connection.unsent() < CHUNK:
            try:
                data = self._client.recv(CHUNK)
            except BlockingIOError:
                return
            if not data:
                self._client_ended = True
                self._record.came_in(self._name, "ends")
                self._connection.shutdown()
                return
            self._record.came_in(self._name, data)
            self._connection.sendall(data)

    def _and_back(self):
        if not self._back and self._connection.readable():
            self._back = self._connection.recv_now(CHUNK)
        while self._back:
            try:
                self._back = self._back[self._client.send(self._back):]
            except BlockingIOError:
                return
            if not self._back and self._connection.readable():
                self._back = self._connection.recv_now(CHUNK)
        if self._connection.ended() and not self._pod_ended:
            self._pod_ended = True
            if self._connection.failed():
                raise ConnectionResetError
            self._client.shutdown(socket.SHUT_WR)

    def close(self):
        self._client.close()
        self._connection.close(abort=not self._client_ended)
