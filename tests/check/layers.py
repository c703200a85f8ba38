"""The layers: which room may include which. A path stands for itself and all below it; the longest that fits counts.
Python has two: the tests, and below them the lab, which serves others as well."""
import ast
import re

from tests.check.tree import ROOMS, files, first_lines, read
from tools.lab.errors import Failure

KERNEL = ["kernel", "boot/boot_info.h"]
MAY_INCLUDE = {
    "boot": ["boot", "kernel/lib"],
    "boot/direct": ["boot", "kernel/lib", "vmx/loader"],   # boots Linux on the bare machine as a pod does in a guest
    "kernel/lib": ["kernel/lib"],
    "kernel/arch": ["kernel/lib", "kernel/arch"],
    "kernel": [*KERNEL, "mm"],
    "kernel/main.c": [*KERNEL, "mm", "vmx", "net"],        # joins the rooms
    "mm": [*KERNEL, "mm"],
    "vmx": [*KERNEL, "mm", "vmx"],
    # They know nothing of the wire, nor of the machine but the numbers of its MSRs.
    "vmx/devices": ["kernel/lib", "kernel/arch/msr.h", "vmx/devices", "vmx/fields.h"],
    "vmx/acpi": ["kernel/lib", "vmx/acpi"],
    "vmx/loader": ["kernel/lib", "vmx/loader"],
    "net": [*KERNEL, "mm", "net"],
    "net/nic": [*KERNEL, "mm", "net/nic"],
    "net/port": [*KERNEL, "mm", "net/port", "net/nic", "net/net.h"],
    "net/teleport": [*KERNEL, "mm", "vmx", "net/teleport", "net/stream.h", "net/net.h"],
    "net/control": [*KERNEL, "boot/config_value.h", "mm", "vmx", "net"],
    "guests": ["guests"],
    "tools/telepod": ["tools/telepod"],
    "tools/lab/cable": ["tools/lab/cable"],
    "tests": ["boot", "kernel", "mm", "vmx", "net", "guests", "tests", "tools"],
    "tools/setup": ["tools/setup"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
ASSEMBLY = re.compile(r"\b(?:__asm__|asm)\b\s*(?:volatile|goto)?\s*\(")
# One instruction a function; the guests and the loader have rooms of their own.
MAY_HAVE_ASSEMBLY = ("kernel/arch/", "vmx/insn.h", "boot/insn.h", "guests/", "tests/", "tools/setup/", "tools/lab/cable/emulator.h")


def within(path, room):
    return path == room or path.startswith(room + "/")


def check_layers():
    complaints = []
    for name in files(".c", ".h", ".S"):
        rooms = [room for room in MAY_INCLUDE if within(name, room)]
        if not rooms:
            complaints.append(f"{name} is in no room of the table in tests/check/layers.py")
            continue
        allowed = MAY_INCLUDE[max(rooms, key=len)]
        for included in INCLUDE.findall(read(name)):
            if included.split("/")[0] in ROOMS and not any(within(included, room) for room in allowed):
                complaints.append(f"{name} includes {included}: its layer may not")
    if complaints:
        raise Failure(first_lines(complaints))


def imported(name):
    """The modules that a Python file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(read(name), name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def check_lab():
    """The tests import the lab, and nothing below tools/ imports the tests."""
    complaints = [f"{name} imports {module}: what is below tools/ may not" for name in files(".py", under="tools")
                  for module in imported(name) if module.split(".")[0] == "tests"]
    if complaints:
        raise Failure(first_lines(complaints))


def check_assembly():
    complaints = [f"{name}: inline assembly outside of kernel/arch and vmx/insn.h" for name in files(".c", ".h")
                  if ASSEMBLY.search(read(name)) and not name.startswith(MAY_HAVE_ASSEMBLY)]
    if complaints:
        raise Failure(first_lines(complaints))
