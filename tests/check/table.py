"""Checks of the sources themselves, and of the oracles that the tests of machines trust."""
from tests.check import headers, layers, oracles, text
from tests.suite import Test

TESTS = [
    Test("check/the sources are there", text.something_to_check),
    Test("check/layers", layers.check_layers),
    Test("check/the lab does not import the tests", layers.check_lab),
    Test("check/inline assembly is isolated", layers.check_assembly),
    Test("check/every header compiles alone", headers.check_headers, 120),
    Test("check/files open with a comment", text.opening_comments),
    Test("check/header guards", text.header_guards),
    Test("check/every room has a README", text.readmes),
    Test("check/links lead somewhere", text.links),
    Test("check/no name of this machine or its hosts", text.this_machine),
    Test("check/no assert in the pod", text.no_assert),
    Test("check/the workload's oracle", oracles.workload),
]
