"""One machine that boots a pod: its own directory with the boot volume, serial ports with time stamps, forwarded TCP
ports, and a bounded wait for everything. bochs.py and qemu.py say how each emulator is started."""
import random
import shutil
import socket
import subprocess
import time

from . import children, places
from .control import Control
from .errors import LabError
from .patience import deadline, wait_until
from .streams import ByteLog, SerialPort

CONTROL_PORT, TELEPORT_PORT = 7000, 7001    # inside the pod
STARTS_MAX = 5
PORTS = range(21000, 32000)                 # below the host's ephemeral ports
READY = r"ready for guests after (\d+) instructions"
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


class BaseMachine:
    """start() returns at once; ready() waits for the pod. stop() is safe at any time, and twice."""

    boot_seconds = 90

    def __init__(self, settings, pod, directory):
        self.settings = settings
        self.pod = pod
        self.name = pod.name
        self.directory = directory
        self.control_port, self.teleport_port = free_port(), free_port()
        self.namespace = None           # of the network that it lives in (netns.Namespace); None: the lab's own
        self._child = None
        self._control = None
        self._files = []

    # ---- to be said by the emulator ------------------------------------------------------------------------------

    def command(self):
        raise NotImplementedError

    # ---- life ----------------------------------------------------------------------------------------------------

    def _write_volume(self):
        esp = self.directory / "esp"
        shutil.rmtree(self.directory, ignore_errors=True)
        (esp / "telepod").mkdir(parents=True)
        (esp / "EFI/BOOT").mkdir(parents=True)
        shutil.copy(places.LOADER, esp / "EFI/BOOT/BOOTX64.EFI")
        shutil.copy(places.KERNEL, esp / "telepod/kernel.elf")
        (esp / "telepod/telepod.ini").write_text(self.pod.telepod_ini())
        for guest in self.pod.guests:
            for name in guest.files:
                if name not in self.pod.files and not (esp / "telepod" / name).exists():
                    shutil.copy(places.guest_file(name), esp / "telepod" / name)
        for name, content in self.pod.files.items():
            (esp / "telepod" / name).write_bytes(content)

    def start(self):
        self._write_volume()
        self.com1 = SerialPort(self.directory / "com1.log")
        self.com2 = SerialPort(self.directory / "com2.log")
        log = open(self.directory / "pod.log", "wb")
        errors = open(self.directory / "emulator.log", "wb")
        self._files = [log, errors]
        for _ in range(STARTS_MAX):
            command = self.command()
            if self.namespace:
                command = self.namespace.command(command)
            self._child = children.spawn(command, cwd=self.directory, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=errors)
            self.after_spawn()
            if self.alive():
                break
        self.log = ByteLog(self._child.stdout.fileno(), log)
        self.started = time.monotonic()
        return self

    def after_spawn(self):
        """Returns when the emulator is on its way, or has ended; then it is started again, STARTS_MAX times in all."""

    def alive(self):
        return self._child is not None and self._child.poll() is None

    @property
    def process_id(self):
        """The emulator's."""
        return self._child.pid

    def kill(self):
        """A power cut."""
        if self._child:
            children.kill(self._child)

    def stop(self):
        self._forget_control()
        if not self._child:
            return
        children.kill(self._child)
        self._child = None
        self.com1.close()
        self.com2.close()
        self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- what it says ----------------------------------------------------------------------------------------------

    def wait_log(self, pattern, seconds, start=0):
        try:
            return self.log.wait_for(pattern, seconds, start, self.alive)
        except LabError as error:
            raise LabError(f"{self.name}: {error}") from None

    def ready(self):
        """Waits until the pod answers on its control port. slirp accepts before the pod does: only an answer counts."""
        self.boot_ticks = int(self.wait_log(READY, self.boot_seconds).group(1))
        self.wait_log(r"listening on TCP port \d+", 30)
        end = deadline(30)
        while True:
            try:
                stats = self.control.call("stats", seconds=5)
                self._com2_before = self.com2.log.position - stats["com2_bytes"]
                return self
            except LabError as error:
                self._forget_control()
                if time.monotonic() > end or not self.alive():
                    raise LabError(f"{self.name}: no answer on the control port: {error}") from None
                time.sleep(0.2)

    def _forget_control(self):
        if self._control:
            self._control.close()
            self._control = None

    @property
    def control(self):
        """The lab's own session, kept open."""
        if not self._control:
            self._control = self.open_control()
        return self._control

    def open_control(self):
        """Another session, for what runs beside."""
        return Control(self.name, self.control_port, self.namespace)

    def call(self, command, seconds=20, **options):
        return self.control.call(command, seconds, **options)

    @property
    def peer_address(self):
        """As the other pods reach this one's teleport port: their slirp's gateway is the host."""
        return f"10.0.2.2:{self.teleport_port}"

    def com2_end(self):
        """Where its COM2 ends once all has arrived that the pod has put on it so far: by the pod's own count."""
        end = self._com2_before + self.call("stats")["com2_bytes"]
        self.com2.log.wait_position(end, 20)
        return end

    # ---- clocks ------------------------------------------------------------------------------------------------------

    def clock(self):
        """(host seconds, virtual seconds) of one instant, as exactly as a request's round trip allows."""
        before = time.monotonic()
        uptime = self.call("stats")["uptime_us"] / 1e6
        return (before + time.monotonic()) / 2, uptime

    def run_for(self, seconds):
        """Until that much time has passed by the pod's clock, which falls behind the host's when the host is busy."""
        end = self.clock()[1] + seconds
        time.sleep(seconds)
        wait_until(lambda: self.clock()[1] >= end, seconds + 5, f"{self.name}: its clock stands still", 0.02)

    def clock_ratio(self, since):
        """Virtual over host time since an earlier clock()."""
        host, virtual = self.clock()
        return (virtual - since[1]) / max(host - since[0], 1e-6)
