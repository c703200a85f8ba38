"""Every header compiles alone, with the flags of its room and all warnings."""
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tests.check.tree import files, first_lines
from tools.lab.errors import Failure
from tools.lab.places import ROOT

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wno-unused-function"]
DEPS = "build/deps"


def flags(name):
    gcc_include = subprocess.run(["gcc", "-print-file-name=include"], capture_output=True, text=True).stdout.strip()
    freestanding = ["-ffreestanding", "-mgeneral-regs-only", "-nostdinc", "-isystem", f"{DEPS}/newlib/include",
                    "-isystem", gcc_include]
    if name.startswith("guests/"):
        return ["-ffreestanding", "-mgeneral-regs-only"]
    if name.startswith(("tools/", "tests/")):
        return []
    if name.startswith("boot/"):
        return [*freestanding, "-fshort-wchar", "-DGNU_EFI_USE_MS_ABI", "-isystem", "/usr/include/efi", "-isystem",
                "/usr/include/efi/x86_64", "-isystem", f"{DEPS}/src/inih"]
    return [*freestanding, "-mcmodel=kernel", "-fno-pic", "-Inet/port", "-isystem", f"{DEPS}/src/lwip/src/include"]


def compile_alone(name):
    """None, or the compiler's words. It is included twice: a guard must hold."""
    done = subprocess.run(["gcc", "-std=gnu11", "-fsyntax-only", "-x", "c", "-I.", *WARNINGS, *flags(name), "-"], cwd=ROOT,
                          input=f'#include "{name}"\n#include "{name}"\n', capture_output=True, text=True, timeout=30)
    return f"{name}: {done.stderr.strip().splitlines()[0]}" if done.returncode else None


def check_headers():
    names = [name for name in files(".h") if not name.startswith("tools/setup/")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = [words for words in pool.map(compile_alone, names) if words]
    if complaints:
        raise Failure(first_lines(complaints))
