"""Fuzz what IMAP reads and writes again: names in modified UTF-7, sets of numbers, strings, dates."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol.imap"]):
        import posthouse.protocol.imap.grammar  # noqa: F401

import itertools

from posthouse.protocol.imap import answers, mutf7
from posthouse.protocol.imap.sets import compact, holds, number_set
from posthouse.protocol.imap.syntax import Cursor, GrammarError, Literal, nstring
from tests.fuzz import engines

_MANY = 2000  # numbers that are looked at one by one


def fuzz(data: bytes) -> None:
    """The same octets as each of them."""
    _try_name(data)
    _try_set(data)
    _try_string(data)


def _try_name(data: bytes) -> None:
    """RFC 3501 5.1.3: each name has one form, and it is in printable ASCII."""
    try:
        name = mutf7.decode(data)
    except ValueError:
        pass
    else:
        assert mutf7.encode(name) == data
    name = data.decode("utf-8", "ignore")
    written = mutf7.encode(name)
    assert mutf7.decode(written) == name
    assert all(32 <= octet < 127 for octet in written)


def _try_set(data: bytes) -> None:
    """What a set holds does not depend on how it is written."""
    cursor = Cursor(data)
    try:
        found = number_set(cursor)
    except GrammarError:
        return
    if found.saved:
        return
    last = 1000
    ranges = found.resolved(last)
    assert all(0 < first <= end for first, end in ranges)
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(ranges))
    if sum(end + 1 - first for first, end in ranges) <= _MANY:
        numbers = [number for first, end in ranges for number in range(first, end + 1)]
        assert all(holds(ranges, number) for number in numbers)
        assert not holds(ranges, ranges[-1][1] + 1)
        assert number_set(Cursor(compact(numbers))).ranges == tuple(ranges)


def _try_string(data: bytes) -> None:
    """What we write can be read, by rules like our own."""
    written = answers.string(data)
    line, _, literal = written.partition(b"\r\n")
    cursor = Cursor(line)
    rule = nstring(cursor)
    try:
        wanted = next(rule)
    except StopIteration as done:
        assert done.value == data and cursor.ended
        return
    assert isinstance(wanted, Literal) and wanted.octets == len(data) and literal == data
    assert wanted.binary == (b"\0" in data)


if __name__ == "__main__":
    engines.run(fuzz, "imap")
