"""The kinds of values a setting can have: how each is read from TOML, written back, and what it is called in errors."""

import dataclasses
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from posthouse.app.config.endpoints import Endpoint
from posthouse.message.address import AddressError, to_a_labels
from posthouse.message.ip import Network, canonical_ip, canonical_network
from posthouse.message.sizes import MissingUnitError, SizeError, exact_size, parse_size

T = TypeVar("T")


_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How values of one sort are read and written.

    `read` turns a TOML value into the setting's value and raises ValueError(what was expected instead);
    `write` turns it into what stands in TOML; `help` is the sentence below an error. `items` is set for lists.
    """

    read: Callable[[Any], T]
    write: Callable[[T], object]
    help: str = ""
    items: "Kind[Any] | None" = None
    bare: bool = False  # in the environment, the text is TOML (numbers, booleans) and not the string itself


def _text(expected: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(expected)
    return value


def _read_size(value: object) -> int:
    """Octets. A number alone is refused: whether it means octets or megabytes only its writer knows. 0 is 0."""
    expected = 'a size like "50MB"'
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    try:
        return parse_size(_text(expected, value))
    except MissingUnitError as error:
        number = error.number
        raise ValueError(f'a size with its unit ("{number}MB", or "{number}B" if octets are meant)') from None
    except SizeError:
        raise ValueError(expected) from None


def size(least: int) -> "Kind[int]":
    """Sizes from `least` octets on."""

    def read(value: object) -> int:
        octets = _read_size(value)
        if octets < least:
            raise ValueError(f'a size of at least "{exact_size(least)}"')
        return octets

    return dataclasses.replace(SIZE, read=read)


def _read_duration(value: object) -> float:
    expected = 'a duration like "10m"'
    match = re.fullmatch(r"(\d{1,9})\s*(ms|s|m|h|d)", _text(expected, value), re.ASCII)
    if match is None:
        raise ValueError(expected)
    return int(match[1]) * _DURATION_UNITS[match[2]]


def duration(least: float) -> "Kind[float]":
    """Durations from `least` seconds on: what is done again after no time is done without end."""

    def read(value: object) -> float:
        seconds = _read_duration(value)
        if seconds < least:
            raise ValueError(f'a duration of at least "{_write_duration(least)}"')
        return seconds

    return dataclasses.replace(DURATION, read=read)


def _write_duration(seconds: float) -> str:
    for unit, factor in reversed(_DURATION_UNITS.items()):
        if seconds and seconds % factor == 0:
            return f"{int(seconds // factor)}{unit}"
    return f"{round(seconds * 1000)}ms"


def _read_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _read_path(value: object) -> Path | None:
    text = _text("a path", value)
    if "\0" in text:
        raise ValueError("a path without NUL")
    return Path(text) if text else None


def _read_network(value: object) -> Network:
    expected = 'an address or network like "10.0.0.0/8"'
    try:
        return canonical_network(_text(expected, value))
    except ValueError:
        raise ValueError(expected) from None


def _read_host(value: object) -> str:
    expected = 'a host name like "mail.example.org", or "" for this machine\'s own'
    text = _text(expected, value)
    # RFC 5321 4.1.2: Domain = sub-domain *("." sub-domain); U-labels are allowed (RFC 6531).
    if text and not all(re.fullmatch(r"\w(?:[\w-]{0,61}\w)?", label) for label in text.split(".")):
        raise ValueError(expected)
    return text.lower()


def whole(least: int, most: int) -> Kind[int]:
    """Whole numbers from `least` to `most`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return Kind(read, int, bare=True)


def choice(*words: str) -> Kind[str]:
    """One word of a few."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError("one of " + ", ".join(f'"{word}"' for word in words))
        return str(value)

    return Kind(read, str)


def many(kind: Kind[T], example: str) -> Kind[tuple[T, ...]]:
    """A list of values of `kind`. The reader of the configuration checks the items one by one, for their places."""

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError(f"a list like [{example}]")
        return tuple(kind.read(item) for item in value)

    return Kind(read, lambda values: [kind.write(value) for value in values], kind.help, kind)


def _read_address(value: object) -> str:
    expected = 'an address like "192.0.2.1" or "2001:db8::1", or ""'
    text = _text(expected, value)
    try:
        return canonical_ip(text) if text else ""
    except ValueError:
        raise ValueError(expected) from None


def _read_pattern(value: object) -> str:
    expected = 'a domain, ".domain" for all below it, an address, or "*"'
    text = _text(expected, value)
    local, at, domain = text.rpartition("@")
    try:
        key = domain if text == "*" else to_a_labels(domain)
    except AddressError:
        raise ValueError(expected) from None
    if not key or re.search(r"\s", text) or (at and not local):
        raise ValueError(expected)
    return f"{local.lower()}{at}{key}"


def _read_name_server(value: object) -> Endpoint:
    expected = 'the address of a name server like "192.0.2.53" or "[2001:db8::53]:5353"'
    text = _text(expected, value)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        endpoint = Endpoint.parse(text)
        ipaddress.ip_address(endpoint.host)
        return endpoint
    return Endpoint(text, 53)


def _read_host_port(value: object) -> Endpoint:
    expected = 'a host and port like "smtp.example.org:587"'
    text = _text(expected, value)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536 or not re.fullmatch(r"[\w.:-]+", host):
        raise ValueError(expected)
    return Endpoint(host.lower(), int(port))


STRING: Kind[str] = Kind(lambda value: _text("a text", value), str)
SECRET: Kind[str] = Kind(lambda value: _text("a text", value), lambda value: "***" if value else "")
BOOL: Kind[bool] = Kind(_read_bool, bool, bare=True)
SIZE: Kind[int] = Kind(_read_size, exact_size, "A size is a whole number of B, KB, MB or GB; 1 KB is 1024 octets.")
DURATION: Kind[float] = Kind(_read_duration, _write_duration, "A duration is a whole number with ms, s, m, h or d.")
PATH: Kind[Path | None] = Kind(_read_path, lambda path: str(path) if path else "")
HOST: Kind[str] = Kind(_read_host, str)
NETWORK: Kind[Network] = Kind(_read_network, str)
ENDPOINT: Kind[Endpoint] = Kind(
    lambda value: Endpoint.parse(_text('an address like "0.0.0.0:25"', value)),
    str,
    "Write IPv6 addresses in brackets; an empty list switches the service off.",
)
ENDPOINTS = many(ENDPOINT, '":25"')
ADDRESS: Kind[str] = Kind(_read_address, str)
PATTERNS = many(Kind(_read_pattern, str), '"example.org"')
NAME_SERVERS = many(Kind(_read_name_server, str), '"192.0.2.53"')
HOSTS = many(Kind(_read_host_port, str), '"smtp.example.org:587"')
NETWORKS = many(NETWORK, '"10.0.0.0/8"')
