"""python3 -m tests [bench]: what the Makefile calls."""
import argparse
import sys

from tools.lab import children
from tools.lab.errors import Failure, LabError


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tests", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["test", "bench"], default="test",
                        help="test: all tests, the default; bench: measure, and compare with the limits")
    parser.add_argument("--only", default="", help="a regular expression that names must match")
    parser.add_argument("--list", action="store_true", help="only the names of the tests")
    options = parser.parse_args(arguments)
    if options.list and options.command != "test":
        parser.error("--list is for tests")
    return options


def main():
    options = parse(sys.argv[1:])
    children.install()
    try:
        if options.command == "bench":
            from tests.bench import bench
            return bench(options.only)
        from tests.suite import run_tests
        return run_tests(options.only, options.list)
    except (LabError, Failure) as error:
        print(f"\nFAILED: {error}", flush=True)
        return 1


sys.exit(main())
