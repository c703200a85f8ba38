"""Network namespaces: the lab's own ones have unique names, end with the lab, and those of a lab that was killed are
removed by the next one. Needs root; missing() says in words what is not there."""
import atexit
import ctypes
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError

CLONE_NEWNET = 0x40000000
NAMES = re.compile(r"^telepod-(\d+)-\w+$")
PLACE = Path("/run/netns")
COMMAND_SECONDS = 20
_libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """Why this machine cannot have a LAN of the lab's; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces and taps need root"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    absent = [tool for tool in ("ip", "busybox", "ping", "curl") if not shutil.which(tool)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    try:
        probe = Namespace("probe")
    except LabError as error:
        return f"this machine allows no network namespaces: {error}"
    try:
        for what in (("tuntap", "add", "tap", "mode", "tap"), ("link", "add", "bridge", "type", "bridge"),
                     ("link", "add", "near", "type", "veth", "peer", "name", "far")):
            probe.ip(*what)
    except LabError as error:
        return f"this machine lacks what a LAN is made of: {error}"
    finally:
        probe.remove()
    return ""


def ip(*words):
    result = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=COMMAND_SECONDS)
    if result.returncode:
        raise LabError(f"ip {' '.join(words)}: {result.stderr.strip()}")


def _sweep():
    for name in os.listdir(PLACE) if PLACE.exists() else []:
        owner = NAMES.match(name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=COMMAND_SECONDS)


class Namespace:
    """Everything in it (bridges, taps, cables) goes with it."""

    def __init__(self, purpose):
        _sweep()
        self.name = f"telepod-{os.getpid()}-{purpose}"
        if (PLACE / self.name).exists():        # of a lab that was killed, whose process id is ours now
            ip("netns", "del", self.name)
        ip("netns", "add", self.name)
        atexit.register(self.remove)
        self._fd = os.open(PLACE / self.name, os.O_RDONLY)
        self.ip("link", "set", "lo", "up")

    def remove(self):
        if self._fd is None:
            return
        os.close(self._fd)
        self._fd = None
        atexit.unregister(self.remove)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=COMMAND_SECONDS)

    def ip(self, *words):
        ip("-n", self.name, *words)

    def command(self, words):
        """A command line that runs in it; it keeps the process's id."""
        return ["ip", "netns", "exec", self.name, *words]

    @contextmanager
    def inside(self):
        """This thread's new sockets belong to it."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self._enter(self._fd)
            try:
                yield
            finally:
                self._enter(home)
        finally:
            os.close(home)

    @staticmethod
    def _enter(fd):
        if _libc.setns(fd, CLONE_NEWNET):
            raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")
