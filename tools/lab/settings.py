"""What a machine is made of. Defaults are those of the published comparison: one icelake_u, 512 MiB, 50 MIPS."""
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Machine:
    platform: str = "bochs"             # or "qemu", "qemu-kvm"
    model: str = "corei7_icelake_u"     # a CPU model of Bochs; "max" and "host" are QEMU's
    lacks: str = ""                     # Bochs: a feature that the model has and this machine has not
    cpus: int = 1
    memory_mib: int = 512
    ips: int = 50_000_000               # Bochs: instructions, and TSC ticks, a virtual second
    nic: str = "e1000"                  # or "e1000e" (QEMU)
    lan: bool = False                   # Bochs: a second card, on the guests' LAN

    def but(self, **changes):
        return replace(self, **changes)

    def describe(self):
        if self.platform == "bochs":
            lacks = f" without {self.lacks}" if self.lacks else ""
            return (f"Bochs, {self.model}{lacks}, {self.cpus} CPU, {self.memory_mib} MiB, ips={self.ips}, {self.nic}"
                    + (", another on the guests' LAN" if self.lan else ""))
        return f"{self.platform}, {self.cpus} CPU, {self.memory_mib} MiB, {self.nic} on slirp"


@dataclass
class Guest:
    """A [guest] section of telepod.ini."""
    name: str
    image: str = ""                     # default: NAME.elf
    memory: str = "32M"
    cmdline: str = ""
    console: str = "log"
    cpu: str = ""
    autostart: bool = False
    initrd: str = ""
    disk: str = ""
    vcpus: int = 1
    devices: str = ""                   # like "net, entropy"
    mac: str = ""

    def section(self):
        lines = [f"[guest {self.name}]", f"image = {self.file}", f"memory = {self.memory}",
                 f"console = {self.console}"]
        for key in ("cpu", "cmdline", "initrd", "disk", "devices", "mac"):
            if getattr(self, key):
                lines.append(f"{key} = {getattr(self, key)}")
        if self.vcpus != 1:
            lines.append(f"vcpus = {self.vcpus}")
        if self.autostart:
            lines.append("autostart = yes")
        return "\n".join(lines) + "\n"

    @property
    def file(self):
        return self.image or f"{self.name}.elf"

    @property
    def files(self):
        """All that it needs on the boot volume."""
        return [name for name in (self.file, self.initrd, self.disk) if name]


@dataclass
class Pod:
    """What a pod finds on its boot volume."""
    name: str
    guests: list = field(default_factory=list)
    run: list = field(default_factory=list)
    files: dict = field(default_factory=dict)   # name -> bytes, besides the guests' images
    ini: str = ""                               # instead of a generated telepod.ini
    more: str = ""                              # more lines of the generated [pod] section
    address: str = ""                           # on a network of /24; empty: by DHCP

    def telepod_ini(self):
        if self.ini:
            return self.ini
        address = f"{self.address}/24" if self.address else "dhcp"
        pod = f"[pod]\nname = {self.name}\naddress = {address}\n" + self.more + "".join(f"run = {command}\n" for command in self.run)
        return pod + "".join("\n" + guest.section() for guest in self.guests)
