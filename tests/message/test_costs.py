"""What a message costs grows with its length and no faster: four times as much takes at most five times as long."""

from collections.abc import Callable

import pytest

from posthouse.message.mime import body_structure, decoded, envelope, scan, select_fields
from posthouse.message.text import (
    ThreadRow,
    base_subject,
    digest,
    header_text,
    html_text,
    message_ids,
    thread_ordered_subject,
    thread_references,
    thread_text,
)
from tests.costs import grows_no_faster


def _structure(data: bytes) -> int:
    root = scan(data)
    return len(envelope(data, root)) + len(body_structure(data, root))


def _headers(count: int) -> Callable[[], object]:
    data = b"".join(b"X-%d: y\r\n" % number for number in range(count)) + b"\r\nx"
    return lambda: (_structure(data), select_fields(data, {b"X-1"}, False))


def _parts(count: int) -> Callable[[], object]:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * count
    return lambda: _structure(data)


def _nested(count: int) -> Callable[[], object]:
    level = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    data = b"".join(level % (number, number) for number in range(count))
    return lambda: _structure(data)


def _same_boundary(count: int) -> Callable[[], object]:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * count
    return lambda: _structure(data)


def _messages(count: int) -> Callable[[], object]:
    data = b"Content-Type: message/rfc822\r\n\r\n" * count
    return lambda: _structure(data)


def _addresses(count: int) -> Callable[[], object]:
    data = b"To: " + b"a (b) <c@d>, " * count + b"\r\n\r\n"
    return lambda: _structure(data)


def _brackets(count: int) -> Callable[[], object]:
    data = b"To: " + b"<" * count + b"\r\nCc: " + b"(" * count + b'\r\nFrom: "' + b"\\" * count + b"\r\n\r\n"
    return lambda: _structure(data)


def _parameters(count: int) -> Callable[[], object]:
    data = b"Content-Type: text/plain" + b"; a=b" * count + b"; c*0=d" * count + b"\r\n\r\n"
    return lambda: _structure(data)


def _subjects(count: int) -> Callable[[], object]:
    text = "Re: [a] (fwd)" * count
    return lambda: (base_subject(text), header_text(b"=?utf-8?q?a?= " * count))


def _ids(count: int) -> Callable[[], object]:
    return lambda: (message_ids(b"<a@b> " * count), message_ids(b'<"' * count))


def _html(count: int) -> Callable[[], object]:
    return lambda: [html_text(piece * count) for piece in ("<", "<a", "<p>x</p>", "<script", "<!--", "&amp;", "&")]


def _texts(count: int) -> Callable[[], object]:
    data = b"Subject: x\r\n\r\n" + b"lorem ipsum " * count
    return lambda: digest(data, 0)


def _padding(count: int) -> Callable[[], object]:
    data = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b" " * count + b"x" + b"= \r\n" * count
    return lambda: decoded(data, scan(data))


def _rows(count: int, references: Callable[[int], tuple[str, ...]]) -> Callable[[], object]:
    rows = [ThreadRow(n, n, f"s{n % 7}", n % 2 == 0, str(n), references(n)) for n in range(1, count)]
    backwards = rows[::-1]
    return lambda: (
        thread_text(thread_references(rows)),
        thread_text(thread_references(backwards)),
        thread_ordered_subject(rows),
    )


def _chain(count: int) -> Callable[[], object]:
    return _rows(count, lambda number: (str(number - 1),))


def _star(count: int) -> Callable[[], object]:
    return _rows(count, lambda number: ("1",))


def _loops(count: int) -> Callable[[], object]:
    return _rows(count, lambda number: (str(number + 1), str(number - 1), str(number)))


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (_headers, 20_000),
        (_parts, 2_000),
        (_nested, 2_500),
        (_same_boundary, 2_500),
        (_messages, 2_500),
        (_addresses, 2_000),
        (_brackets, 20_000),
        (_parameters, 5_000),
        (_subjects, 2_000),
        (_ids, 10_000),
        (_html, 10_000),
        (_texts, 10_000),
        (_padding, 50_000),
        (_chain, 4_000),
        (_star, 4_000),
        (_loops, 4_000),
    ],
)
def test_costs(make: Callable[[int], Callable[[], object]], count: int) -> None:
    grows_no_faster(make, count)
