"""A pod in QEMU with OVMF: TCG by default (no VT-x there), KVM with nested VT-x where the host has both. It lives in the host's
time and on QEMU's own user network, so no figure comes from it: bounds are wide, and nothing is said about times."""
import json
import random
import socket
import struct
import subprocess
import zlib

from . import children, places
from .errors import LabError
from .gateway import PORTS
from .machine import CONTROL_PORT, TELEPORT_PORT, BaseMachine
from .streams import ByteLog, Reader, Terminal
from .waiting import wait_until

ANSWER_SECONDS = 40
_reserved = []


def free_port():
    """A TCP port of the loopback device that nobody has, nor another lab takes meanwhile: a socket is bound to it as long as
    this lab lives. It does not listen, so an emulator that asks for SO_REUSEADDR, as slirp does, gets the port all the same."""
    while True:
        place = socket.socket()
        port = random.choice(PORTS)
        try:
            place.bind(("127.0.0.1", port))
        except OSError:
            place.close()
            continue
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # from now on, and not before: it was nobody's
        _reserved.append(place)
        return port


def kvm_missing():
    """Why PLATFORM=qemu cannot run guests here, in a sentence; empty when it can."""
    flags = ""
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            flags = next((line for line in cpuinfo if line.startswith("flags")), "")
    except OSError:
        pass
    if " vmx" not in flags:
        return "this host's CPU shows no VT-x (no flag vmx in /proc/cpuinfo), which QEMU would have to pass on to the pods"
    try:
        open("/dev/kvm", "r+b").close()
    except OSError as error:
        return f"/dev/kvm cannot be used: {error.strerror}"
    return ""


class QemuMachine(BaseMachine):
    boot_seconds = 480

    def __init__(self, settings, pod, directory):
        super().__init__(settings, pod, directory)
        self.control_port, self.teleport_port = free_port(), free_port()
        self._child = None

    def start(self):
        self._write_volume()
        self.com1, self.com2 = Terminal(self.directory / "com1.log"), Terminal(self.directory / "com2.log")
        self._files = [open(self.directory / "pod.log", "wb"), open(self.directory / "emulator.log", "wb")]
        self._child = children.spawn(self.command(), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=self._files[1])
        self.log = ByteLog(self._files[0])
        self._reader = Reader(self._child.stdout.fileno(), self.log)
        return self

    def alive(self):
        return self._child is not None and self._child.poll() is None

    def kill(self):
        if self._child:
            children.kill(self._child)

    def stop(self):
        self._forget_control()
        if not self._child:
            return
        children.stop(self._child)
        self._child = None
        self._reader.close()
        for port in (self.com1, self.com2):
            port.close()

    def connect(self, port):
        """slirp accepts before the pod does: only an answer counts."""
        forwarded = {CONTROL_PORT: self.control_port, TELEPORT_PORT: self.teleport_port}[port]
        connection = socket.create_connection(("127.0.0.1", forwarded), ANSWER_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @property
    def peer_address(self):
        """As the other pods reach this one's teleport port: their slirp's gateway is the host."""
        return f"10.0.2.2:{self.teleport_port}"

    def command(self):
        s = self.settings
        kvm = s.platform == "qemu-kvm"
        forward = (f"hostfwd=tcp:127.0.0.1:{self.control_port}-:{CONTROL_PORT},"
                   f"hostfwd=tcp:127.0.0.1:{self.teleport_port}-:{TELEPORT_PORT}")
        return ["qemu-system-x86_64", "-machine", "pc", "-accel", "kvm" if kvm else "tcg",
                "-cpu", "host" if kvm else "max", "-smp", s.cpus, "-m", s.memory_mib,
                "-bios", places.OVMF, "-drive", "file=fat:rw:esp,format=raw", "-display", "none", "-vga", "std",
                "-netdev", f"user,id=net0,{forward}", "-device", f"{s.nic},netdev=net0",
                "-serial", self.com1.device, "-serial", self.com2.device, "-debugcon", "stdio",
                "-qmp", "unix:qmp,server=on,wait=off", "-monitor", "none", "-no-reboot"]

    def screendump(self, path):
        """The screen as it is now, as PPM; returns (width, height, pixels)."""
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.settimeout(ANSWER_SECONDS)
            # A relative path keeps within a socket address's 108 bytes wherever the tree lies.
            qmp.connect(f"/proc/{self._child.pid}/cwd/qmp")
            stream = qmp.makefile("rw")
            stream.readline()
            for command in ({"execute": "qmp_capabilities"},
                            {"execute": "screendump", "arguments": {"filename": str(path)}}):
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    if "error" in answer:
                        raise LabError(f"QEMU: {answer['error']}")
        wait_until(path.exists, ANSWER_SECONDS, "QEMU writes no picture of the screen")
        return read_ppm(path)


def read_ppm(path):
    data = path.read_bytes()
    magic, size, depth, pixels = data.split(b"\n", 3)
    if magic != b"P6" or depth != b"255":
        raise LabError(f"{path} is no 8-bit PPM file")
    width, height = map(int, size.split())
    return width, height, pixels


def write_png(path, width, height, pixels):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + pixels[y * width * 3:(y + 1) * width * 3] for y in range(height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b""))
