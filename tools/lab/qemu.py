"""A pod in QEMU with OVMF: TCG by default (no VT-x there), KVM with nested VT-x where the host has both."""
import json
import socket
import struct
import zlib

from . import children, places
from .errors import LabError
from .machine import CONTROL_PORT, TELEPORT_PORT, BaseMachine
from .patience import patient, wait_until


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
    boot_seconds = 120

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
            qmp.settimeout(patient(10))
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
        wait_until(path.exists, 5, "QEMU writes no picture of the screen")
        return read_ppm(path)

    def stop(self):
        if self._child:
            children.stop(self._child)
        super().stop()


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
