"""Fuzz the POP3 engine: never an exception, each answer well formed, the same however the bytes are cut.

Nothing is offered out of turn, and no more waits to be sent than the contract allows.
"""

if __name__ == "__main__":  # before the engine is imported: what is imported here is watched
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol"]):
        import posthouse.protocol.pop3.server  # noqa: F401

from collections.abc import Mapping

from posthouse.protocol.engine_core import MAX_UNSENT
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    LoginRefused,
    PasswordOffered,
    SessionEnded,
    StartTlsOffered,
)
from posthouse.protocol.pop3.events import MessageWanted, QuitOffered
from tests.fuzz import engines
from tests.protocol.pop3_fixture import Fixture

_WORLDS: tuple[dict[str, str], ...] = (
    {},
    {"secure": "yes", "bindings": "yes"},
    {"plaintext_auth": "no"},
    {"drop": "empty"},
    {"drop": "damaged"},
    {"refuse": "IN-USE another session has this maildrop open"},
    {"drop": "odd"},
    {"quit": "fails"},
)
_LOGIN = (PasswordOffered, KeysWanted, LoginProven, LoginFailed, LoginRefused, StartTlsOffered)


class Watched(Fixture):
    """A house that knows what may be offered when."""

    def __init__(self, directives: Mapping[str, str]) -> None:
        super().__init__(directives)
        self._over = False

    def answer(self, event: object) -> None:
        """See Fixture."""
        assert not self._over, f"{event} after the end"
        if isinstance(event, MessageWanted):
            assert self.entered and 1 <= event.number <= len(self.messages)
        elif isinstance(event, QuitOffered):
            assert self.entered and all(1 <= number <= len(self.messages) for number in event.deleted)
        elif isinstance(event, SessionEnded):
            self._over = True
            assert self.engine.closing
        else:
            assert isinstance(event, _LOGIN) and not self.entered, event
        assert self.engine._core.unsent < 2 * MAX_UNSENT
        super().answer(event)


def fuzz(data: bytes) -> None:
    """The first octet chooses the world, the second the cut."""
    if len(data) < 2:
        return
    said = engines.try_input(lambda: Watched(_WORLDS[data[0] % len(_WORLDS)]), data[2:], data[1])
    assert said.startswith(b"+OK ")
    _read(said)


def _read(said: bytes) -> None:
    """Every answer begins as one (RFC 1939 3), and no line of status is longer than RFC 2449 4 allows."""
    lines = iter(said.split(b"\r\n")[:-1])
    for line in lines:
        assert line.startswith((b"+OK", b"-ERR", b"+ ")), line
        assert len(line) <= 510 or line.startswith(b"+ ")
        if line.endswith((b" octets", b" follow", b" unique ids")):  # many lines; LIST's ends in "octets" too
            assert any(row == b"." for row in lines), "an answer without end"


if __name__ == "__main__":
    engines.run(fuzz, "pop3")
