"""Linux on the bare emulated machine, started by boot/direct as a pod starts it in a guest: the measure for a guest's boot."""
import shutil

from . import children, linux, places
from .bochs import BochsMachine
from .settings import Machine, Pod

DIRECT = places.LINUX / "direct.efi"
# Bochs has no IA32_MISC_ENABLE; a pod's guest reads it with fast strings on. The bare machine gets the same, so that Linux
# boots, and copies alike on both (docs/lab.md, "Repeat a measurement").
MSRS = "0x1a0 0 00000000 00000001 00000000 00000000 00000000 00000000\n"


class DirectMachine(BochsMachine):
    """A Bochs with nothing but a serial port, on which Linux runs without a pod. COM1 is its console."""

    def __init__(self, settings, cmdline, directory, initrd=linux.INITRD):
        super().__init__(settings, Pod("direct"), directory)
        self.cmdline = cmdline
        self.initrd = initrd

    def _write_volume(self):
        esp = self.directory / "esp"
        shutil.rmtree(self.directory, ignore_errors=True)
        (esp / "telepod").mkdir(parents=True)
        (esp / "EFI/BOOT").mkdir(parents=True)
        shutil.copy(DIRECT, esp / "EFI/BOOT/BOOTX64.EFI")
        shutil.copy(places.LINUX / linux.KERNEL, esp / "telepod/vmlinuz")
        shutil.copy(places.LINUX / self.initrd, esp / "telepod/initrd")
        (esp / "telepod/cmdline").write_text(self.cmdline + "\n")
        (self.directory / "msrs").write_text(MSRS)

    def command(self):
        lines = [line + ', msrs="msrs"' if line.startswith("cpu:") else line for line in self.rc(mac=1, lan="").split("\n")
                 if not line.startswith("e1000:")]
        (self.directory / "rc").write_text("\n".join(lines).replace("e1000=1", "e1000=0"))
        return [places.BOCHS, "-q", "-unlock", "-f", "rc"]

    def shell(self, seconds=linux.BOOT_SECONDS):
        """Waits for the shell; how many ticks it took from the kernel's first instruction."""
        found = self.com1.log.wait_for(linux.REACHED, seconds, 0, self.alive)
        return int(found[1]) - int(found[2])


def boot_ticks(settings=Machine(memory_mib=256, sync="none"), cmdline=f"{linux.CONSOLE} quiet", directory=places.BUILD / "direct"):
    """Instructions from the kernel's entry to its shell on the bare machine. One CPU, no network: repeatable."""
    linux.built()
    with DirectMachine(settings, cmdline, directory) as machine:
        return machine.shell()


if __name__ == "__main__":
    children.install()
    print(boot_ticks())
