"""A session on a pod's control port: a command line out, JSON lines in. The last one is the reply, with "ok"."""
import json

from . import waiting
from .errors import Failure, LabError


class Control:
    def __init__(self, name, connection):
        self._name, self._socket = name, connection
        self._buffer = b""

    def close(self):
        self._socket.close()

    def send(self, data):
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LabError(f"{self._name}: the control session ended: {error}") from None

    def read_line(self, end):
        while b"\n" not in self._buffer:
            left = end - waiting.now()
            if left <= 0:
                raise LabError(f"{self._name}: no answer in time")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                raise LabError(f"{self._name}: the control session ended: {error}") from None
            if not data:
                raise LabError(f"{self._name}: the pod closed the control session")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode("utf-8", "replace")

    def read_object(self, end):
        line = self.read_line(end)
        try:
            return json.loads(line)
        except ValueError:
            raise Failure(f"{self._name}: not a JSON object: {line[:200]!r}") from None

    def call(self, command, seconds=20, on_event=None):
        """The reply, whatever it says; events go to on_event."""
        self.begin(command)
        return self.finish(seconds, on_event)

    def begin(self, command):
        """Sends a command; finish() waits for its reply."""
        self._command = command
        self.send(command.encode() + b"\n")

    def answered(self):
        """Whether the reply to what was begun has come, without waiting; takes it."""
        self._buffer += self._socket.recv_now(65536)
        *lines, self._buffer = self._buffer.split(b"\n")
        return any(b'"ok"' in line for line in lines)

    def finish(self, seconds=20, on_event=None):
        end = waiting.deadline(seconds)
        while True:
            try:
                reply = self.read_object(end)
            except LabError as error:
                raise LabError(f"{error} (to `{self._command}`, {seconds} s)") from None
            if "ok" in reply:
                return reply
            if on_event:
                on_event(reply)

    def must(self, command, seconds=20, on_event=None):
        """The reply of a command that has to succeed."""
        reply = self.call(command, seconds, on_event)
        if not reply["ok"]:
            raise Failure(f"{self._name}: `{command}`: {reply.get('error', reply)}")
        return reply

    def must_fail(self, command, words, seconds=20):
        """The reply of a command that has to be refused, in a sentence with all of these words."""
        reply = self.call(command, seconds)
        if reply["ok"]:
            raise Failure(f"{self._name}: `{command}` succeeded, but should not have")
        missing = [word for word in words if word.lower() not in reply.get("error", "").lower()]
        if missing:
            raise Failure(f"{self._name}: `{command}`: the error does not say {missing}: {reply.get('error')!r}")
        return reply
