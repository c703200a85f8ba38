"""The oracles themselves, given consoles that are right and consoles that are not: an oracle that overlooks a fault, or sees
one that is not there, would make every test of a machine worthless."""
from tools.lab import linux
from tools.lab.errors import Failure, expect, expect_equal


def line(number, wrong=0):
    return (f"workload: {number} written {number * 8} checked {number * 16} wrong {wrong} tsc {number * 1000} mono_us {number * 20} "
            f"gap_us 5 at {number * 990} largest 7\n")


def refused(text):
    try:
        linux.check_workload(text)
    except Failure:
        return True
    return False


def workload():
    """Lines of the workload beside a shell on the same console: each is counted, and one that is lost is noticed."""
    beside = line(1) + "guest# \x1b[6n" + line(2) + "guest# echo do''" + line(3) + "ne1 begins\n2\ndone1 0\n" + line(4) + line(5)[:-1] + "echo\n"
    expect_equal([report["number"] for report in linux.check_workload(beside)], [1, 2, 3, 4, 5], "lines of the workload")
    expect(refused(line(1) + line(2) + line(4) + line(5)), "a lost line is overlooked")
    expect(refused(line(1) + line(2) + line(2) + line(3)), "a repeated line is overlooked")
    expect(refused(line(1) + line(2) + line(3, wrong=1)), "a mistake that the workload counts is overlooked")
    expect(refused(line(1) + line(2) + "guest# workload: WRONG page: 1 and then 2\n" + line(3)), "a complaint is overlooked")
    expect(refused(line(1) + line(2) + line(3) + "workload: FAIL\n"), "a verdict is overlooked")
    expect(refused(line(1) + line(2)), "too few lines are enough")
