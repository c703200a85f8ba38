"""Linux on the bare emulated machine, started by boot/direct as a pod starts it in a guest: the measure for a guest's boot."""
import shutil

from . import children, linux, places
from .bochs import Alone, BochsMachine
from .settings import Machine, Pod

DIRECT = places.LINUX / "direct.efi"
# Bochs has no IA32_MISC_ENABLE; a pod's guest reads it with fast strings on. The bare machine gets the same, so that Linux
# boots, and copies alike on both (docs/lab.md, "Repeat a measurement").
MSRS = "0x1a0 0 00000000 00000001 00000000 00000000 00000000 00000000\n"


class DirectMachine(BochsMachine):
    """A Bochs with nothing but a serial port, on which Linux runs without a pod. COM1 is its console."""

    cmdline = ""
    initrd = linux.INITRD

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

    def msrs(self):
        return ', msrs="msrs"'

    def shell(self, seconds=linux.BOOT_SECONDS):
        """Waits for the shell; how many ticks it took from the kernel's first instruction."""
        found = self.com1.log.wait_for(linux.REACHED, seconds, 0, self.alive)
        return int(found[1]) - int(found[2])


def bare(settings, cmdline, directory, initrd=linux.INITRD):
    """A laboratory with that one machine."""
    alone = Alone(settings, Pod("direct"), directory, DirectMachine)
    alone.machine.cmdline, alone.machine.initrd = cmdline, initrd
    return alone


def boot_ticks(settings=Machine(memory_mib=256), cmdline=f"{linux.CONSOLE} quiet", directory=places.BUILD / "direct"):
    """Instructions from the kernel's entry to its shell on the bare machine. One CPU, no network: repeatable."""
    linux.built()
    with bare(settings, cmdline, directory) as machine:
        return machine.shell()


if __name__ == "__main__":
    children.install()
    print(boot_ticks())
