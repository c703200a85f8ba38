"""A machine of the laboratory: Bochs 3.1 with OVMF, its time granted by the lab, its cards on the lab's cables."""
import os
import subprocess

from . import children, laboratory, places
from .machine import CONNECT_SECONDS, CONTROL_PORT, TELEPORT_PORT, BaseMachine
from .streams import ByteLog, CablePort

RC = """\
plugin_ctrl: unmapped=1, biosdev=0, speaker=0, parallel=0, gameport=0, serial=1, e1000=1, usb_uhci=0
display_library: rfb, options="timeout=0, no_gui_console, hideIPS"
cpu: model={model}{lacks}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1, cpuid_freq=ips{msrs}
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
com1: enabled=1, mode=term, dev=com1
com2: enabled=1, mode=term, dev=com2
{cards}clock: sync=none, time0=946681200
panic: action=fatal
error: action=report, cpu0=ignore
warn: action=report
info: action=report
debug: action=ignore
"""
CARD = "e1000: card={card}, mac=52:54:00:54:{cable}:{number:02x}, ethmod=cable, ethdev={card}\n"
LOG_LINES = 6


class BochsMachine(BaseMachine):
    def __init__(self, settings, pod, directory):
        super().__init__(settings, pod, directory)
        self._child = self._index = None

    @property
    def cables(self):
        return ("net", "lan") if self.settings.lan else ("net",)

    # ---- life ----------------------------------------------------------------------------------------------------

    def start(self):
        self._lab = lab = laboratory.current()
        self.address = self.pod.address = lab.address_of(self.name)
        self._write_volume()
        self._index, environment, descriptors = lab.add_machine(self, self.cables)
        self.com1, self.com2 = (CablePort(self.directory / f"com{n}.log", lambda data, n=n: lab.type(self._index, n, data)) for n in (1, 2))
        self._log_file = open(self.directory / "pod.log", "wb")
        self.log = ByteLog(self._log_file)
        self._streams = (self.log, self.com1.log, self.com2.log)
        (self.directory / "rc").write_text(self.rc())
        lab.record.machine(self.name, self.settings, [self.directory / "rc", *sorted(path for path in (self.directory / "esp").rglob("*") if path.is_file())])
        with open(self.directory / "emulator.log", "wb") as output:
            self._child = children.spawn([places.BOCHS, "-q", "-unlock", "-f", "rc"], cwd=self.directory, stdin=subprocess.PIPE,
                                         stdout=output, stderr=output, pass_fds=descriptors,
                                         env={**os.environ, **environment, "LD_PRELOAD": str(places.CABLE_MODULE),
                                              "TELEPOD_MODULES": str(places.CABLE_MODULE.parent)})
        # vvfat's question at the end: nothing is to be written back.
        self._child.stdin.write(b"n\n")
        self._child.stdin.close()
        return self

    def rc(self):
        s = self.settings
        cards = "".join(CARD.format(card=card, cable=50 + card, number=self._index + 1) for card in range(len(self.cables)))
        return RC.format(model=s.model, lacks=f", exclude_features={s.lacks}" if s.lacks else "", cpus=s.cpus, ips=s.ips,
                         memory_mib=s.memory_mib, ovmf=places.OVMF, share=places.BOCHS_SHARE, cards=cards, msrs=self.msrs())

    def msrs(self):
        """More of the line "cpu:"."""
        return ""

    def alive(self):
        return self._index is not None and self._lab.alive(self._index)

    def kill(self):
        if self._child:
            self._lab.record.done(f"{self.name} loses its power")
            self._forget_control()
            children.kill(self._child)
            self._lab.remove_machine(self._index)

    def stop(self):
        if not self._child:
            return
        self._forget_control()
        children.kill(self._child)
        self._lab.remove_machine(self._index)
        self._lab.forget_machine(self._index)
        self._child = None
        for port in (self.com1, self.com2):
            port.close()
        self._log_file.close()

    # ---- for the laboratory ----------------------------------------------------------------------------------------

    def hear(self, stream, data, when):
        self._streams[stream].append(data, when)

    def type_on(self):
        self.com1.type_on()
        self.com2.type_on()

    def emulator_alive(self):
        return self._child.poll() is None

    def _said(self, name):
        path = self.directory / name
        return path.read_text(errors="replace").strip().split("\n")[-LOG_LINES:] if path.exists() else []

    def last_words(self):
        return f"with status {self._child.poll()}; its log is {self.directory.relative_to(places.ROOT)}/bochs.log"

    def why_it_did_not_start(self):
        lines = "\n    ".join([*self._said("emulator.log"), *self._said("bochs.log")])
        if not places.CABLE_MODULE.exists():
            return f"there is no module {places.CABLE_MODULE.relative_to(places.ROOT)} for its network card: make image builds it"
        return f"its emulator did not come to the cable, and said:\n    {lines}"

    # ---- the way to it -----------------------------------------------------------------------------------------------

    @property
    def ticks(self):
        """Instructions, and ticks of its TSC, since its power-on."""
        return self._lab.ticks(self._index)

    def connect(self, port, seconds=CONNECT_SECONDS):
        return self._lab.connect(self.address, port, seconds)

    @property
    def control_port(self):
        """On 127.0.0.1, for a program of the host's."""
        return self._lab.forward(self.address, CONTROL_PORT)

    @property
    def peer_address(self):
        """As the other pods reach this one's teleport port."""
        return f"{self.address}:{TELEPORT_PORT}"


class Alone:
    """A laboratory with one machine, as a context: `with Alone(...) as pod`."""

    def __init__(self, settings, pod, directory, machine=BochsMachine):
        self.laboratory = laboratory.Laboratory(directory, settings.ips)
        self.machine = machine(settings, pod, directory / pod.name)

    def start(self):
        """The machine, which is being booted."""
        self.laboratory.start()
        try:
            return self.machine.start()
        except BaseException:
            self.laboratory.stop()
            raise

    def stop(self):
        self.laboratory.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
