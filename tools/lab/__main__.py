"""python3 -m tools.lab COMMAND: what the Makefile calls."""
import argparse
import sys

from . import children
from .errors import Failure, LabError


def parse(arguments):
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="teleport a guest between two pods, and tell how it goes")
    run.add_argument("--guest", default="clock")
    run.add_argument("--platform", default="bochs")
    commands.add_parser("run-qemu", help="boot in plain QEMU: no VT-x, but framebuffer, SMP and both NICs")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    children.install()
    try:
        if options.command == "run":
            from .run import run
            return run(options.guest, options.platform)
        from .run_qemu import run_qemu
        return run_qemu()
    except (LabError, Failure) as error:
        print(f"\nFAILED: {error}", flush=True)
        return 1


sys.exit(main())
