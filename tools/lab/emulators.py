"""From settings to a machine."""
from .bochs import BochsMachine
from .errors import LabError
from .laboratory import Laboratory
from .qemu import QemuMachine, kvm_missing


def make(settings, pod, directory):
    if settings.platform == "bochs":
        return BochsMachine(settings, pod, directory)
    return QemuMachine(settings, pod, directory)


class HostTime:
    """Machines of QEMU's live in the host's time, and need no laboratory."""
    record = None

    def start(self):
        return self

    def stop(self):
        pass

    def expect_machines(self, names):
        pass

    def check_faults(self):
        pass


def laboratory_for(settings, directory, **options):
    if settings.platform == "bochs":
        return Laboratory(directory, settings.ips, **options)
    if options.get("faults"):
        raise LabError(f"{settings.platform} lives in the host's time: there are no faults to order")
    return HostTime()


def settings_of_platform(platform, settings):
    """The same machine on the platform that `make run PLATFORM=...` names."""
    if platform == "bochs":
        return settings
    if platform != "qemu":
        raise LabError(f"PLATFORM={platform} is not known: bochs or qemu")
    missing = kvm_missing()
    if missing:
        raise LabError(f"PLATFORM=qemu cannot be used: {missing}. PLATFORM=bochs needs no such thing.")
    return settings.but(platform="qemu-kvm")
