"""Fuzz the conversion to 7 bits: done or refused, never half; what it does it does once, and only what it must."""

import re
import sys
from pathlib import Path

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.message"]):
        import posthouse.message.seven_bit  # noqa: F401

from posthouse.message.coding import is_seven_bit
from posthouse.message.header import header_end
from posthouse.message.seven_bit import to_seven_bit

_CODING = re.compile(rb"(?im)^content-transfer-encoding[ \t]*:[^\r]*(\r\n[ \t][^\r]*)*\r\n")
_MIME = b"MIME-Version: 1.0\r\nContent-Type: "
_SEEDS = (
    _MIME + b"text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n",
    _MIME + b"image/png\r\n\r\n\x89PNG\r\n\x1a\n\0\0\xff",
    _MIME + b'multipart/mixed; boundary="b"\r\n\r\npre\r\n--b\r\n\r\n\xc3\xbc\r\n--b\r\n\r\nplain\r\n--b--\r\n',
    _MIME + b"multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" + _MIME + b"text/html\r\n\r\n\xff\r\n--b--",
    _MIME + b"multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xbc\r\n--b--\r\n",
    _MIME + b"message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + _MIME + b"text/plain\r\n\r\n\xff\r\n",
    _MIME + b"message/global\r\n\r\nSubject: \xc3\xbc\r\n\r\n",
    b'Subject: \xc3\xbc\r\nTo: "\xc3\xbc" <a@b>, \xff (\xff) <c@d>\r\n\r\nno MIME \xc3\xbc\r\n',
    _MIME + b"text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"YWJj" * 400,
    _MIME + b"text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=C3=BC" * 300 + b"\xc3\xbc\r\n",
    b"References: " + b"<a@b> " * 300 + b"\r\n\r\nx\r\n",
)


def fuzz(data: bytes) -> None:
    """The data is a message; then, behind each of the seeds' headers, it is a body."""
    check(data)
    for seed in _SEEDS:
        check(seed[: header_end(seed)] + data)
        check(seed + data)


def check(message: bytes) -> None:
    """What must hold of any message."""
    converted = to_seven_bit(message)
    if is_seven_bit(message):
        assert converted == message
    if converted is None:
        return
    assert is_seven_bit(converted)
    assert to_seven_bit(converted) == converted
    before, after = message[: header_end(message)], converted[: header_end(converted)]
    if is_seven_bit(before) and before.endswith(b"\r\n\r\n") and b"mime-version:" in before.lower():
        assert _CODING.sub(b"", before) == _CODING.sub(b"", after)
    assert len(converted) <= 4 * len(message) + 100_000


def main() -> None:
    """Fuzz until told to stop, or until -max_total_time."""
    import atheris

    corpus = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if corpus and corpus[0].is_dir():
        for number, message in enumerate(_SEEDS):
            (corpus[0] / f"seed-{number}").write_bytes(message)
    atheris.Setup([*sys.argv, "-max_len=4096"], fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
