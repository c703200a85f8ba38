"""Where things are. All paths are absolute; whatever the lab writes lies under build/."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
ESP = BUILD / "esp"
GUESTS = BUILD / "guests"
LOADER = ESP / "EFI/BOOT/BOOTX64.EFI"
KERNEL = ESP / "telepod/kernel.elf"
BOCHS = BUILD / "deps/bochs/bochs"
BOCHS_SHARE = BUILD / "deps/bochs/share"
CABLE_LIB = BUILD / "lab/libcable.so"
CABLE_MODULE = BUILD / "lab/libbx_eth_cable.so"
OVMF = Path("/usr/share/ovmf/OVMF.fd")
TELEPOD = BUILD / "tools/telepod"


LINUX = GUESTS / "linux"


def guest_file(name):
    """A file that guests are made of, by its name on a boot volume."""
    return LINUX / name if (LINUX / name).exists() else guest_image(name.removesuffix(".elf"))


def guest_image(name):
    """The image of a guest, by its name in guests/ or guests/tests/."""
    for folder in (GUESTS, GUESTS / "tests"):
        if (folder / f"{name}.elf").exists():
            return folder / f"{name}.elf"
    raise FileNotFoundError(f"no image of guest {name}: make image builds it")
