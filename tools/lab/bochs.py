"""A pod in Bochs 3.1 with OVMF."""
import time

from . import places
from .machine import CONTROL_PORT, TELEPORT_PORT, BaseMachine
from .patience import deadline

DISPLAY_SECONDS = 5

RC = """\
plugin_ctrl: unmapped=1, biosdev=0, speaker=0, parallel=0, gameport=0, serial=1, e1000=1, usb_uhci=0
display_library: rfb, options="timeout=0, no_gui_console, hideIPS"
cpu: model={model}{lacks}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1, cpuid_freq=ips
memory: guest={memory_mib}, host={memory_mib}
romimage: file={ovmf}, address=0xffe00000
fw_cfg: enabled=1
vgaromimage: file={share}/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path="esp", mode=vvfat, journal=redolog
boot: disk
log: bochs.log
port_e9_hack: enabled=1
com1: enabled=1, mode=term, dev={com1}
com2: enabled=1, mode=term, dev={com2}
e1000: card=0, mac=52:54:00:54:50:{mac:02x}, ethmod=slirp, script=slirp.conf
{lan}clock: sync={sync}, time0=946681200
panic: action=fatal
error: action=report, cpu0=ignore
warn: action=report
info: action=report
debug: action=ignore
"""
LAN = "e1000: card=1, mac=52:54:00:54:51:{mac:02x}, ethmod=tuntap, ethdev=/dev/net/tun:{tap}, script=none\n"
SLIRP = """\
# slirp config
hostfwd = tcp:127.0.0.1:{control}-:{control_inside}
hostfwd = tcp:127.0.0.1:{teleport}-:{teleport_inside}
"""


class BochsMachine(BaseMachine):
    _count = 0

    def command(self):
        BochsMachine._count += 1
        s = self.settings
        (self.directory / "bochs.log").unlink(missing_ok=True)
        lan = LAN.format(mac=BochsMachine._count % 256, tap=s.tap) if s.tap else ""
        (self.directory / "rc").write_text(self.rc(BochsMachine._count % 256, lan))
        (self.directory / "slirp.conf").write_text(SLIRP.format(
            control=self.control_port, control_inside=CONTROL_PORT, teleport=self.teleport_port,
            teleport_inside=TELEPORT_PORT))
        return [places.BOCHS, "-q", "-unlock", "-f", "rc"]

    def rc(self, mac, lan):
        """The configuration, with a number for its network cards' addresses and the line of a second card."""
        s = self.settings
        return RC.format(model=s.model, lacks=f", exclude_features={s.lacks}" if s.lacks else "", cpus=s.cpus, ips=s.ips,
                         sync=s.sync, memory_mib=s.memory_mib, ovmf=places.OVMF, share=places.BOCHS_SHARE,
                         com1=self.com1.device, com2=self.com2.device, mac=mac, lan=lan)

    def after_spawn(self):
        # vvfat's question at the end: nothing is to be written back.
        self._child.stdin.write(b"n\n")
        self._child.stdin.flush()
        # Two that look for a free display port in the same instant take the same one, and one of them ends: one by one.
        end = deadline(DISPLAY_SECONDS)
        while self.alive() and time.monotonic() < end and not self._has_display():
            time.sleep(0.02)

    def _has_display(self):
        log = self.directory / "bochs.log"
        return log.exists() and b"listening for connections" in log.read_bytes()
