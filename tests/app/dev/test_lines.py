"""Lines that are written by a thread: in order, never in the way, and what is missing is told where it is missing."""

import os
import threading

from posthouse.app.dev.lines import LineWriter


def missing(count: int) -> str:
    return f"{count} missing"


def test_in_order_and_all_of_them() -> None:
    reading, writing = os.pipe()
    lines = LineWriter(writing, missing)
    for n in range(1000):
        lines.write(f"{n} ä")
    lines.close(60)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        assert file.read().splitlines() == [f"{n} ä" for n in range(1000)]


def test_a_reader_that_is_slow_loses_lines_and_learns_how_many() -> None:
    reading, writing = os.pipe()
    lines = LineWriter(writing, missing, bound=1 << 16)
    for n in range(10_000):  # far more than the pipe and the bound hold; the thread cannot get on
        lines.write(f"{n:064}")
    read: list[bytes] = []

    def take() -> None:
        while piece := os.read(reading, 1 << 16):
            read.append(piece)

    thread = threading.Thread(target=take)
    thread.start()
    lines.close(60)
    os.close(writing)
    thread.join(60)
    os.close(reading)
    said = b"".join(read).decode().splitlines()
    told = [line for line in said if line.endswith(" missing")]
    assert told and sum(int(line.split()[0]) for line in told) + len(said) - len(told) == 10_000
    numbers = [int(line) for line in said if line not in told]
    assert numbers == sorted(numbers)


def test_a_reader_that_is_gone_is_no_matter() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = LineWriter(writing, missing)
    lines.write("nobody")
    lines.close(60)
    lines.write("nobody")
    os.close(writing)


def test_the_end_does_not_wait_for_one_that_never_reads() -> None:
    reading, writing = os.pipe()
    lines = LineWriter(writing, missing)
    lines.write("x" * 200_000)  # more than a pipe holds
    lines.close(0.01)  # comes back
    os.close(reading)
    os.close(writing)
