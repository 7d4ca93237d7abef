"""The POP3 server engine (RFC 1939).

`COMMANDS`, at the end, is the whole protocol: every keyword with the states it is legal in and the method that carries
it out. A method either answers at once, or puts an offer among the events; while that is unanswered nothing is parsed,
so pipelining (RFC 2449 6.6) is right by construction.

The engine is built in layers, each a part of the work: Link (octets, events, the end), Login (the authorization state),
Transaction (the maildrop and its messages), and here the greeting and the commands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posthouse.protocol import http
from posthouse.protocol.lines import LineFault
from posthouse.protocol.pop3 import replies
from posthouse.protocol.pop3.settings import MAX_COMMAND, Pop3Settings
from posthouse.protocol.pop3.states import State
from posthouse.protocol.pop3.transaction import Transaction

__all__ = ["COMMANDS", "Pop3Server", "Pop3Settings"]


class Pop3Server(Transaction):
    """One POP3 connection. See net.interface.Engine for the contract, events.py for the answers."""

    __slots__ = ()

    def __init__(
        self,
        settings: Pop3Settings,
        *,
        secure: bool = False,
        bindings: Mapping[str, bytes] | None = None,
        nonce: Callable[[], str],
    ) -> None:
        """`secure`: TLS is up already, with these channel `bindings`. `nonce` gives fresh SCRAM nonces."""
        super().__init__(settings, secure=secure, bindings=bindings or {}, nonce=nonce)
        # RFC 1939 7: a greeting without a timestamp says that there is no APOP.
        self._say(replies.ok(f"{settings.hostname} Posthouse POP3 ready"))

    def _read_command(self) -> bool:
        """Carry out one command; False when octets are needed."""
        line = self._next_line(MAX_COMMAND)
        if line is None:
            return False
        if isinstance(line, LineFault):
            self._refuse_line(line)
            return True
        keyword, _, argument = line.partition(b" ")
        command = COMMANDS.get(keyword) or COMMANDS.get(keyword.upper())
        if command is None:
            self._refuse_keyword(keyword)
        elif self._state in command.states:
            # RFC 1939 3 has one space. Clients write more, which says nothing, but in a password (7).
            command.run(self, argument if command is _PASS else argument.strip(b" "))
        else:
            self._error(replies.err(f"{keyword.decode().upper()} is not valid in this state"))
        return True

    def _refuse_keyword(self, keyword: bytes) -> None:
        if keyword.upper() in http.VERBS:
            self._end("HTTP instead of POP3", replies.NO_WEB_SERVER)
        else:
            self._error(replies.UNKNOWN)

    def _do_capa(self, argument: bytes) -> None:
        """What holds at this moment (RFC 2449 5)."""
        settings = self._settings
        lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", f"EXPIRE {settings.expire}"]
        lines += [f"LOGIN-DELAY {settings.login_delay}", "UTF8 USER"]
        if self._state is State.AUTHORIZATION:
            if offered := self._mechanisms():
                lines += ["USER", f"SASL {' '.join(offered)}"]
            if settings.stls and not self._secure:
                lines.append("STLS")  # RFC 2595 4: not once TLS is active
        lines.append(f"IMPLEMENTATION {settings.implementation}")
        self._list(replies.CAPABILITIES, iter([f"{line}\r\n".encode() for line in lines]))

    def _do_utf8(self, argument: bytes) -> None:
        # RFC 6856 2.1. Messages are sent as they are stored anyway, see docs/decisions/005.
        self._say(replies.UTF8)


@dataclass(frozen=True, slots=True)
class _Command:
    states: frozenset[State]
    run: Callable[[Pop3Server, bytes], None]


_FIRST, _THEN = frozenset({State.AUTHORIZATION}), frozenset({State.TRANSACTION})
_PASS = _Command(_FIRST, Pop3Server._do_pass)

# What a client writes behind a keyword that takes no argument is ignored.
COMMANDS = {
    b"USER": _Command(_FIRST, Pop3Server._do_user),
    b"PASS": _PASS,
    b"AUTH": _Command(_FIRST, Pop3Server._do_auth),
    b"STLS": _Command(_FIRST, Pop3Server._do_stls),
    b"UTF8": _Command(_FIRST, Pop3Server._do_utf8),
    b"CAPA": _Command(_FIRST | _THEN, Pop3Server._do_capa),
    b"QUIT": _Command(_FIRST | _THEN, Pop3Server._do_quit),
    b"STAT": _Command(_THEN, Pop3Server._do_stat),
    b"LIST": _Command(_THEN, Pop3Server._do_list),
    b"UIDL": _Command(_THEN, Pop3Server._do_uidl),
    b"RETR": _Command(_THEN, Pop3Server._do_retr),
    b"TOP": _Command(_THEN, Pop3Server._do_top),
    b"DELE": _Command(_THEN, Pop3Server._do_dele),
    b"NOOP": _Command(_THEN, Pop3Server._do_noop),
    b"RSET": _Command(_THEN, Pop3Server._do_rset),
}
