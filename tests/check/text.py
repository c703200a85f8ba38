"""What a reader may expect of every file."""
import re
from pathlib import Path

from tests.check.tree import ROOMS, files, first_lines, read
from tools.lab.errors import Failure, expect
from tools.lab.places import ROOT

CODE = (".c", ".h", ".S")
TEXT = (*CODE, ".py", ".mk", ".md", ".sh", ".ld", ".lds", ".awk", "")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
APT_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d")
HOST = re.compile(r"https?://([\w.-]+)")


def check(complaints):
    if complaints:
        raise Failure(first_lines(complaints))


def opens_with_comment(name):
    """Its own; or it begins with its header, and that says it."""
    start = read(name).lstrip()
    own_header = f'#include "{Path(name).with_suffix(".h")}"'
    return start.startswith("/*") or (start.startswith(own_header) and read(Path(name).with_suffix(".h")).startswith("/*"))


def opening_comments():
    check([f"{name} does not open with a comment that says what it guarantees" for name in files(*CODE)
           if not opens_with_comment(name)])


def header_guards():
    """TELEPOD_X_H, and no two headers with the same one."""
    seen, complaints = {}, []
    for name in files(".h"):
        guard = re.search(r"^#ifndef (TELEPOD_\w+_H)\n#define \1$", read(name), re.M)
        foreign = name.startswith("net/port/arch/") or name.endswith(("lwipopts.h", "no-host.h"))
        if not guard and not foreign:
            complaints.append(f"{name} has no guard of the form TELEPOD_X_H")
        elif guard and guard[1] in seen:
            complaints.append(f"{name} has the guard of {seen[guard[1]]}: {guard[1]}")
        elif guard:
            seen[guard[1]] = name
    check(complaints)


def readmes():
    check([f"{room}/ has no README.md" for room in [".", *ROOMS] if room != "docs" and not (ROOT / room / "README.md").exists()])


def links():
    """Links between files lead somewhere."""
    complaints = []
    for name in files(".md"):
        for target in LINK.findall(read(name)):
            if "://" not in target and not (ROOT / Path(name).parent / target).exists():
                complaints.append(f"{name}: the link to {target} leads nowhere")
    check(complaints)


def configured_hosts():
    """Where this machine gets its packages from: such names belong into no file of the tree."""
    paths = [path for source in map(Path, APT_SOURCES) for path in ([source] if source.is_file() else source.glob("*"))]
    return {host for path in paths if path.is_file() for host in HOST.findall(path.read_text(errors="replace"))}


def this_machine():
    """The tree names neither the place where it lies nor the hosts that this machine uses."""
    own = [str(ROOT) + "/", *configured_hosts()]
    complaints = []
    for name in files(*TEXT):
        text = read(name)
        complaints += [f"{name} names {word}" for word in own if word in text]
    check(complaints)


def no_assert():
    """Nothing that a guest, a peer, a file or an operator sends may meet an assertion."""
    check([f"{name} uses assert()" for room in ("boot", "kernel", "mm", "vmx", "net") for name in files(".c", ".h", under=room)
           if re.search(r"(?<![_\w])assert\s*\(", read(name))])


def something_to_check():
    expect(len(files(".c")) > 50, "the sources were not found")
