"""python3 -m tools.lab COMMAND: what the Makefile calls."""
import argparse
import signal
import sys

from . import children
from .errors import Failure, LabError
from .links import LINKS


def parse(arguments):
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="teleport a guest between two pods, and tell how it goes")
    run.add_argument("--guest", default="clock")
    run.add_argument("--platform", default="bochs")
    run.add_argument("--link", default="lan", help=f"of the pods: {', '.join(LINKS)}")
    run.add_argument("--faults", default="", help="a script, as faults.py has it, with semicolons between faults")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--moves", type=int, default=1, help="more than one: there and back, in short")
    run.add_argument("--into", default="", help="a folder for what it leaves, instead of build/run")
    again = commands.add_parser("again", help="have a run again, and compare")
    again.add_argument("file", help="run.json of that run")
    lab = commands.add_parser("lab", help="two pods for work by hand")
    lab.add_argument("--link", default="lan")
    commands.add_parser("run-qemu", help="boot in plain QEMU: no VT-x, but framebuffer, SMP and both NICs")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    children.install()
    try:
        if options.command == "run":
            from .run import run
            return run(options.guest, options.platform, options)
        if options.command == "again":
            from .again import again
            return again(options.file)
        if options.command == "lab":
            from .by_hand import by_hand
            signal.signal(signal.SIGINT, signal.default_int_handler)    # it ends by Ctrl-C
            return by_hand(options.link)
        from .run_qemu import run_qemu
        return run_qemu()
    except (LabError, Failure) as error:
        print(f"\nFAILED: {error}", flush=True)
        return 1


sys.exit(main())
