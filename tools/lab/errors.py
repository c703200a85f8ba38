"""What the lab says when something is not as it should be."""


class LabError(Exception):
    """A machine did not do what was waited for; the text is for the reader of the test's output."""


class Skipped(LabError):
    """This machine cannot run the test; the text says what it lacks."""


class Failure(Exception):
    """A test found something wrong; the text says what was expected and what came."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def expect_equal(found, wanted, what):
    if found != wanted:
        raise Failure(f"{what}: expected {wanted!r}, found {found!r}")
