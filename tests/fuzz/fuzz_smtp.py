"""Fuzz the SMTP and LMTP engine: never an exception, each reply well formed, the same however the bytes are cut."""

import re

if __name__ == "__main__":  # before the engine is imported: what is imported here is watched
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol", "posthouse.message"]):
        import posthouse.protocol.smtp.server  # noqa: F401

from posthouse.message.reply import Reply
from posthouse.protocol.events import (
    KeysWanted,
    LoginProven,
    MessageChunk,
    PasswordOffered,
)
from posthouse.protocol.lines import MAX_AUTH_LINE
from posthouse.protocol.smtp import events
from tests.fuzz import engines
from tests.protocol.smtp_fixture import Fixture

_WORLDS: tuple[dict[str, str], ...] = (
    {},
    {"variant": "submission", "secure": "yes", "bindings": "yes"},
    {"variant": "lmtp"},
    {"variant": "submission", "plaintext_auth": "yes"},
    {"max_size": "50", "max_recipients": "2", "max_header": "30"},
    {"bare_lf": "yes"},
)
_REPLIES = re.compile(rb"(?:[2345]\d\d[ -][^\r\n]*\r\n)+")
_REFUSABLE = (events.SenderOffered, events.RecipientOffered, events.DataOffered, events.MessageEnded)
_LATER = Reply(451, "4.3.0", "Try again later")


class MoodyHouse(Fixture):
    """Refuses every offer whose turn it is by the bits of `mood`; 0 is the friendly house."""

    def __init__(self, directives: dict[str, str], mood: int) -> None:
        super().__init__(directives)
        self._mood = mood
        self._offers = 0
        self._open = False  # a message was begun and neither ended nor dropped

    def answer(self, event: object) -> None:
        """As Fixture, but for the mood."""
        assert self._held() <= MAX_AUTH_LINE + 4096, "what was read is kept"
        self._check(event)
        if isinstance(event, (*_REFUSABLE, PasswordOffered, KeysWanted, LoginProven)):
            self._offers += 1
            if self._mood >> self._offers % 5 & 1:
                self._refuse(event)
                return
        super().answer(event)

    def _refuse(self, event: object) -> None:
        if isinstance(event, _REFUSABLE):
            self.engine.reject(_LATER)
        else:
            self.engine.refuse_login(_LATER)

    def _check(self, event: object) -> None:
        """News about a message come only while there is one."""
        if isinstance(event, MessageChunk):
            self._open = True
            assert event.data
        elif isinstance(event, events.MessageDropped | events.MessageEnded):
            self._open = False
        elif isinstance(event, events.EnvelopeCleared):
            assert not self._open

    def _held(self) -> int:
        lines = self.engine._core.lines
        return len(lines._data) + sum(map(len, lines._parts))


def fuzz(data: bytes) -> None:
    """The first octet chooses the world and the mood, the second the cut."""
    if len(data) < 2:
        return
    mood, world = divmod(data[0], len(_WORLDS))
    said = engines.try_input(lambda: MoodyHouse(_WORLDS[world], mood), data[2:], data[1])
    assert _REPLIES.fullmatch(said), said


if __name__ == "__main__":
    engines.run(fuzz, "smtp")
