"""Fuzz the PROXY parser: a header or ProxyError, the same however the bytes are cut, and within its bounds."""

import sys
from types import FunctionType

from posthouse.net import proxy
from posthouse.net.proxy import ProxyError, ProxyHeader, ProxyParser

_LONGEST = 16 + 4096
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_STARTS = (b"", b"PROXY TCP4 ", b"PROXY TCP6 ", _SIGNATURE, _SIGNATURE + b"\x21\x11\0", _SIGNATURE + b"\x21\x21\0")


def fuzz(data: bytes) -> None:
    """Try `data`; its first octet chooses what it goes on from."""
    try_input(_STARTS[data[0] % len(_STARTS)] + data[1:] if data else data)


def try_input(data: bytes) -> None:
    """Parse `data` whole and octet by octet."""
    whole = _parsed([data])
    assert _parsed([data[i : i + 1] for i in range(len(data))]) == whole
    if whole is None:
        assert len(data) < _LONGEST, "still waiting for more than any header holds"


def _parsed(pieces: list[bytes]) -> tuple[ProxyHeader, int] | str | None:
    """The header and its length; "" if it is wrong; None if it is not complete."""
    parser, taken = ProxyParser(), 0
    for piece in pieces:
        taken += len(piece)
        try:
            header = parser.receive(piece)
        except ProxyError:
            return ""
        if header is not None:
            return header, taken - len(parser.rest())
    return None


def main() -> None:
    """Fuzz until told to stop, or until -max_total_time."""
    import atheris

    for function in (*vars(ProxyParser).values(), *vars(proxy).values()):
        if isinstance(function, FunctionType) and function.__module__ == proxy.__name__:
            atheris.instrument_func(function)
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
