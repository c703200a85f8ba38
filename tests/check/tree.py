"""The tree's own files: nothing that was built, nothing of git's."""
from tools.lab.places import ROOT

LEFT_OUT = {"build", ".git", "__pycache__"}
ROOMS = ["boot", "kernel", "mm", "vmx", "net", "guests", "tests", "tools", "docs"]


def files(*suffixes, under=""):
    """Paths relative to the root, as strings."""
    found = []
    for path in sorted((ROOT / under).rglob("*")):
        name = path.relative_to(ROOT)
        if path.is_file() and not LEFT_OUT & set(name.parts) and (not suffixes or path.suffix in suffixes):
            found.append(str(name))
    return found


def read(name):
    return (ROOT / name).read_text(errors="replace")


def first_lines(complaints, most=20):
    more = f"\n... and {len(complaints) - most} more" if len(complaints) > most else ""
    return "\n".join(complaints[:most]) + more
