"""The trace headers a server adds: Return-Path, Delivered-To, Received (RFC 5321 4.4)."""

import re
import time
from collections.abc import Callable

from posthouse.message.address import Address
from posthouse.message.envelope import Envelope
from posthouse.message.ids import format_id
from posthouse.message.months import MONTHS

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE = re.compile(r"[^!-'*-\[\]-~\u00a1-\U0010ffff]")  # no controls, spaces, parentheses or backslashes
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Tracer:
    """Writes trace headers. `hostname` is ours; `clock` gives seconds since 1970."""

    def __init__(self, hostname: str, clock: Callable[[], float]) -> None:
        self._hostname = hostname
        self._clock = clock
        self._second = -1
        self._date = ""

    def received(self, envelope: Envelope) -> str:
        """One Received field, ended by CRLF."""
        client = envelope.client
        peer = f"[{'IPv6:' if ':' in client.ip else ''}{client.ip}]" if client.ip else "local socket"
        tls = f"\r\n\t({client.tls})" if client.tls else ""
        # RFC 5321 7.2: naming one recipient gives nothing away, naming several would.
        only = envelope.recipients[0].address if len(envelope.recipients) == 1 else None
        target = f"\r\n\tfor <{_quoted(only)}>" if only is not None else ""
        return (
            f"Received: from {_word(client.hello)} ({peer})\r\n\tby {self._hostname} with {client.protocol}"
            f" id {format_id(envelope.id)}{tls}{target};\r\n\t{self.date()}\r\n"
        )

    def date(self) -> str:
        """Now, as RFC 5322 3.3 writes it. Made once a second."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._date = date(second)
        return self._date


def date(seconds: int) -> str:
    """Seconds since 1970 as RFC 5322 3.3 writes them."""
    then = time.gmtime(seconds)
    return (
        f"{_DAYS[then.tm_wday]}, {then.tm_mday} {MONTHS[then.tm_mon - 1]} {then.tm_year}"
        f" {then.tm_hour:02}:{then.tm_min:02}:{then.tm_sec:02} +0000"
    )


def return_path(address: Address | None) -> str:
    """The Return-Path field, ended by CRLF; <> for the null reverse-path."""
    return f"Return-Path: <{_quoted(address) if address is not None else ''}>\r\n"


def delivered_to(address: Address) -> str:
    """The Delivered-To field, ended by CRLF."""
    return f"Delivered-To: {_quoted(address)}\r\n"


def _word(text: str) -> str:
    return _UNSAFE.sub("?", text)[:255] or "unknown"


def _quoted(address: Address) -> str:
    # An Address holds no control characters when it was parsed; one made by hand must not break a header either.
    text = str(address)
    return text if text.isprintable() else _CONTROLS.sub("?", text)
