#!/usr/bin/env python3
"""initrd.py OUT PACKAGES WORKLOAD [stress-ng]: the initrd of the Linux guest, from unpacked Debian packages and our files.

An archive in cpio's "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), compressed by lz4 in
its legacy format, which is the one that the kernel reads. The same input gives the same bytes."""
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DRIVERS = ("virtio_pci", "virtio_net", "virtio_blk", "virtio_console", "virtio-rng")
DIRECTORY, FILE, LINK, DEVICE = 0o040000, 0o100000, 0o120000, 0o020000
# Where our own files go, and whether they are programs.
OURS = {"init": ("init", True), "root/udhcpc": ("etc/udhcpc", True), "root/shell": ("etc/shell", False),
        "root/lines": ("bin/lines", True), "root/slow": ("www/cgi-bin/slow", True)}
FILE_BYTES = 1 << 20    # of /www/file


class Archive:
    """A newc archive in memory: every entry is added once, after its directory."""

    def __init__(self):
        self._out = bytearray()
        self._names = set()

    def _add(self, name, mode, data=b"", device=(0, 0)):
        if name in self._names:
            return
        self._names.add(name)
        fields = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        self._out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self._pad()
        self._out += data
        self._pad()

    def _pad(self):
        self._out += bytes(-len(self._out) % 4)

    def directory(self, name):
        if "/" in name:
            self.directory(name.rsplit("/", 1)[0])
        self._add(name, DIRECTORY | 0o755)

    def _parent(self, name):
        if "/" in name:
            self.directory(name.rsplit("/", 1)[0])

    def file(self, name, data, program=False):
        self._parent(name)
        self._add(name, FILE | (0o755 if program else 0o644), data)

    def link(self, name, target):
        self._parent(name)
        self._add(name, LINK | 0o777, target.encode())

    def device(self, name, major, minor):
        self._parent(name)
        self._add(name, DEVICE | 0o600, device=(major, minor))

    def bytes(self):
        self._add("TRAILER!!!", 0)
        return bytes(self._out)


def add_busybox(archive, packages):
    busybox = packages / "busybox/bin/busybox"
    archive.file("bin/busybox", busybox.read_bytes(), program=True)
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")


def needed_modules(found, names):
    """The modules with those that they depend on (each module names them itself): {name: names of those before it}."""
    needed = {}

    def add(name):
        if name in needed:
            return
        words = re.search(rb"\0depends=([^\0]*)\0", found[name].read_bytes())
        before = [word for word in words[1].decode().split(",") if word]
        needed[name] = before
        for other in before:
            add(other.replace("-", "_") if other not in found else other)

    for name in names:
        add(name)
    return needed


def add_modules(archive, packages):
    """In the kernel's own folder, with the modules.dep that busybox's modprobe reads: name: those that it needs."""
    release = next((packages / "linux/lib/modules").iterdir())
    found = {path.stem: path for path in release.rglob("*.ko")}
    needed = needed_modules(found, DRIVERS)
    where = f"lib/modules/{release.name}"

    def all_before(name):
        order = []
        for other in needed[name]:
            order += [other, *all_before(other)]
        return list(dict.fromkeys(order))

    for name in needed:
        archive.file(f"{where}/{name}.ko", found[name].read_bytes())
    lines = [f"{name}.ko:" + "".join(f" {other}.ko" for other in all_before(name)) for name in needed]
    archive.file(f"{where}/modules.dep", ("\n".join(lines) + "\n").encode())


def libraries_of(program, folder):
    """The shared objects that a program loads, and those that these load: {soname: path}, from one folder of packages."""
    found, todo = {}, [program]
    while todo:
        listing = subprocess.run(["readelf", "-d", todo.pop()], check=True, capture_output=True, text=True).stdout
        for soname in re.findall(r"\(NEEDED\).*\[(.*)\]", listing):
            if soname not in found:
                found[soname] = next(path for path in sorted(folder.rglob(soname)) if "gconv" not in str(path))
                todo.append(found[soname])
    return found


def add_stress(archive, packages):
    folder = packages / "stress-ng"
    program = folder / "usr/bin/stress-ng"
    archive.file("bin/stress-ng", program.read_bytes(), program=True)
    for soname, path in libraries_of(program, folder).items():
        place = "lib64" if soname.startswith("ld-") else "lib/x86_64-linux-gnu"
        archive.file(f"{place}/{soname}", path.read_bytes(), program=True)


def pattern(size):
    """The bytes of /www/file, known to whoever downloads it: line n says n."""
    return b"".join(b"%015d\n" % number for number in range(size // 16))


def main():
    out, packages, workload, *variant = sys.argv[1:]
    packages = Path(packages)
    archive = Archive()
    for name in ("dev", "proc", "sys", "tmp", "etc"):
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    for name, (place, program) in OURS.items():
        archive.file(place, (HERE / name).read_bytes(), program)
    archive.file("bin/workload", Path(workload).read_bytes(), program=True)
    archive.file("www/file", pattern(FILE_BYTES))
    archive.file("www/index.html", b"<title>guest</title>\n")
    archive.file("etc/passwd", b"root::0:0:root:/:/bin/sh\n")
    add_busybox(archive, packages)
    add_modules(archive, packages)
    if "stress-ng" in variant:
        add_stress(archive, packages)
    compressed = subprocess.run(["lz4", "-l", "-9", "-q", "-c"], input=archive.bytes(), check=True, capture_output=True).stdout
    Path(out).write_bytes(compressed)


main()
