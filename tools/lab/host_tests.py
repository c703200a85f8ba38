"""Tests that need no machine: the unit tests and the fuzzers that make has built."""
import os
import subprocess

from . import places
from .errors import Failure
from .suite import Test

UNIT = places.BUILD / "tests/unit"
FUZZ = places.BUILD / "tests/fuzz"
CORPUS = places.ROOT / "tests/fuzz/corpus"
CLIENT_TEST = places.ROOT / "tests/client/test_telepod.py"
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "4"))
FUZZ_RSS_MIB = 1024
OUTPUT_LINES = 30


def run(command, seconds):
    """Output of a program that has to succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failure(f"not done within {seconds} s") from None
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).split("\n")[-OUTPUT_LINES:])
        raise Failure(f"exit status {done.returncode}\n{tail}")
    return done.stdout + done.stderr


def unit_test(program):
    return lambda: run([program], 60)


def fuzz_smoke(program):
    """The corpus, and then what the fuzzer makes of it. New inputs stay under build/."""
    def smoke():
        found = FUZZ / f"{program.name}.new"
        found.mkdir(exist_ok=True)
        corpus = CORPUS / program.name.removeprefix("fuzz_")
        if not any(corpus.iterdir()):
            raise Failure(f"no corpus in {corpus}")
        run([program, f"-max_total_time={FUZZ_SECONDS}", f"-rss_limit_mb={FUZZ_RSS_MIB}", "-timeout=5",
             f"-artifact_prefix={FUZZ}/{program.name}.", found, corpus], FUZZ_SECONDS + 60)

    return smoke


def sources(folder, pattern):
    return sorted(path.stem for path in (places.ROOT / folder).glob(pattern))


def host_tests():
    """By the sources, so that a test that was not built fails instead of being forgotten."""
    unit = [Test(f"unit/{name}", unit_test(UNIT / name), 70) for name in sources("tests/unit", "test_*.c")]
    fuzz = [Test(f"fuzz/{name}", fuzz_smoke(FUZZ / name), FUZZ_SECONDS + 70)
            for name in sources("tests/fuzz", "fuzz_*.c")]
    client = Test("client/telepod", lambda: run(["python3", CLIENT_TEST, places.TELEPOD], 120), 130)
    return [*unit, *fuzz, client]
