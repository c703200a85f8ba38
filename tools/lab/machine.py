"""One machine that boots a pod: its own directory with the boot volume, its consoles, connections to its ports, and a bounded wait
for everything. bochs.py has the machines of the laboratory; qemu.py those that live in the host's time."""
import shutil

from . import places, waiting
from .control import Control
from .errors import LabError

CONTROL_PORT, TELEPORT_PORT = 7000, 7001    # inside the pod
CONNECT_SECONDS = 5
READY = r"ready for guests after (\d+) instructions"


class BaseMachine:
    """start() returns at once; ready() waits for the pod. stop() is safe at any time, and twice."""

    boot_seconds = 60

    def __init__(self, settings, pod, directory):
        self.settings = settings
        self.pod = pod
        self.name = pod.name
        self.directory = directory
        self._control = None

    # ---- to be said by the emulator ------------------------------------------------------------------------------

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def kill(self):
        """A power cut."""
        raise NotImplementedError

    def alive(self):
        raise NotImplementedError

    def connect(self, port):
        """A connection to one of the pod's ports."""
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
        """Waits until the pod answers on its control port."""
        self.boot_ticks = int(self.wait_log(READY, self.boot_seconds).group(1))
        self.wait_log(r"listening on TCP port \d+", 30)
        end = waiting.deadline(30)
        while True:
            try:
                stats = self.control.call("stats", seconds=5)
                self._com2_before = self.com2.log.position - stats["com2_bytes"]
                return self
            except LabError as error:
                self._forget_control()
                if waiting.now() > end or not self.alive():
                    raise LabError(f"{self.name}: no answer on the control port: {error}") from None
                waiting.sleep(0.2)

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
        try:
            return Control(self.name, self.connect(CONTROL_PORT))
        except OSError as error:
            raise LabError(f"{self.name}: cannot connect to its control port: {error}") from None

    def call(self, command, seconds=20, **options):
        return self.control.call(command, seconds, **options)

    def com2_end(self):
        """Where its COM2 ends once all has arrived that the pod has put on it so far: by the pod's own count."""
        end = self._com2_before + self.call("stats")["com2_bytes"]
        self.com2.log.wait_position(end, 20)
        return end

    def run_for(self, seconds):
        waiting.sleep(seconds)
