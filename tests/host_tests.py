"""Tests that need no machine: the unit tests and the fuzzers that make has built."""
import os
import re
import shutil
import subprocess

from tests.suite import Test
from tools.lab import places
from tools.lab.errors import Failure, Skipped


UNIT = places.BUILD / "tests/unit"
FUZZ = places.BUILD / "tests/fuzz"
CORPUS = places.ROOT / "tests/fuzz/corpus"
CLIENT_TEST = places.ROOT / "tests/client/test_telepod.py"
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "4"))
FUZZ_RSS_MIB = 1024
FUZZ_UNIT_SECONDS = 30          # for one input: the machine may be busy
OUTPUT_LINES = 30

# What each corpus must reach by itself: functions behind the checks of what was decoded. Those that other files call, because
# the compiler may do away with the others.
DEPTHS = {
    "fuzz_command": ["command_parse", "words_split"],
    "fuzz_config": ["config_parse"],
    "fuzz_elf": ["elf_parse"],
    "fuzz_fields": ["lapic_load", "lapic_advance", "lapic_accept", "policy_compatible", "cpuid_policy_lookup"],
    "fuzz_image": ["image_boot_page"],
    "fuzz_mmio": ["mmio_execute"],
    "fuzz_platform": ["pit_write", "pit_advance", "rtc_write", "rtc_next_deadline", "acpi_pm_write", "fw_cfg_read",
                      "pci_bar_find", "pci_msix_next", "uart_read", "pic_acknowledge", "ioapic_eoi", "mtrr_write"],
    "fuzz_state": ["state_write", "unsqueeze"],
    "fuzz_switch": ["switch_table_decide", "switch_addresses_contest"],
    "fuzz_target": ["incoming_apply", "incoming_supersede", "incoming_status_of"],
    "fuzz_virtio": ["virtio_console_receive", "virtio_net_receive", "virtio_reset", "virtqueue_copy_from", "virtqueue_copy_to",
                    "virtqueue_complete"],
    "fuzz_virtqueue": ["virtqueue_complete", "virtqueue_copy_from", "virtqueue_copy_to"],
    "fuzz_walk": ["guest_walk"],
    "fuzz_wire": ["message_encode", "message_decode"],
}


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


def corpus_of(name):
    corpus = CORPUS / name.removeprefix("fuzz_")
    if not corpus.is_dir() or not any(corpus.iterdir()):
        raise Failure(f"no corpus in {corpus}")
    return corpus


def fuzz_smoke(program):
    """
    The corpus, and then what the fuzzer makes of it, the same each time as far as it gets: `make test` says whether
    something has changed, `make fuzz-smoke` looks for news. New inputs stay under build/.
    """
    def smoke():
        found = FUZZ / f"{program.name}.smoke"
        shutil.rmtree(found, ignore_errors=True)
        found.mkdir()
        run([program, f"-max_total_time={FUZZ_SECONDS}", f"-rss_limit_mb={FUZZ_RSS_MIB}", f"-timeout={FUZZ_UNIT_SECONDS}",
             "-seed=1", f"-artifact_prefix={FUZZ}/{program.name}.", found, corpus_of(program.name)], FUZZ_SECONDS + 60)

    return smoke


def corpora_reach_their_depth():
    """A corpus grows old when a format changes: its inputs are then refused at the door, and the fuzzer is blind."""
    if not shutil.which("llvm-symbolizer"):
        raise Skipped("llvm-symbolizer is not installed, which gives the covered functions their names")
    shallow = []
    for name in sources("tests/fuzz", "fuzz_*.c"):
        said = run([FUZZ / name, "-runs=0", "-print_coverage=1", corpus_of(name)], 60)
        covered = set(re.findall(r"^COVERED_FUNC: .* (\w+) \S+$", said, re.M))
        if name not in DEPTHS:
            shallow.append(f"{name}: not in the table of what a corpus must reach")
        shallow += [f"{name}: {function}()" for function in DEPTHS.get(name, []) if function not in covered]
    if shallow:
        raise Failure("not reached by the corpus alone: " + ", ".join(shallow))


def sources(folder, pattern):
    return sorted(path.stem for path in (places.ROOT / folder).glob(pattern))


def host_tests():
    """By the sources, so that a test that was not built fails instead of being forgotten."""
    unit = [Test(f"unit/{name}", unit_test(UNIT / name), 70) for name in sources("tests/unit", "test_*.c")]
    fuzz = [Test(f"fuzz/{name}", fuzz_smoke(FUZZ / name), FUZZ_SECONDS + 70)
            for name in sources("tests/fuzz", "fuzz_*.c")]
    fuzz.append(Test("fuzz/corpora reach their depth", corpora_reach_their_depth, 200))
    client = Test("client/telepod", lambda: run(["python3", CLIENT_TEST, places.TELEPOD], 120), 130)
    return [*unit, *fuzz, client]
