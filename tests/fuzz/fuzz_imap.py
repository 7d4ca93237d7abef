"""Fuzz the IMAP engine: never an exception, each answer well formed, the same however the bytes are cut.

Nothing is offered out of turn, and a message that is kept has the octets that were announced. Half of the inputs are
octets as they are; in the other half each octet stands for a word of the protocol, behind a login, so that the depths
of the grammar are reached.
"""

if __name__ == "__main__":  # before the engine is imported: what is imported here is watched
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol"]):
        import posthouse.protocol.imap.server  # noqa: F401

import re
from collections.abc import Mapping

from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, LoginRefused, PasswordOffered, SessionEnded
from posthouse.protocol.imap import commands, events
from tests.fuzz import engines
from tests.protocol.imap_fixture import Fixture

_WORLDS: tuple[dict[str, str], ...] = (
    {},
    {"secure": "yes", "bindings": "yes"},
    {"plaintext_auth": "no"},
    {"append_limit": "20"},
    {"refuse": "UNAVAILABLE try again later"},
    {"starttls": "no", "version": "1.2"},
)
_LOGIN = (PasswordOffered, KeysWanted, LoginProven, LoginFailed, LoginRefused)
_WORDS = (
    b'\r\n|\r\nx |\r\ny UID | |(|)|[|]|<|>|{|}|+|-|~|:|,|.|*|%|$|\\|"|&|/|0|1|2|9|4294967295|NIL|INBOX|missing'
    b"|SELECT |EXAMINE |CREATE |DELETE |RENAME |SUBSCRIBE |UNSUBSCRIBE |LIST |LSUB |NAMESPACE|STATUS |APPEND |IDLE"
    b"|DONE|GETQUOTA |GETQUOTAROOT |SETQUOTA |CHECK|CLOSE|UNSELECT|EXPUNGE|FETCH |STORE |COPY |MOVE |SEARCH |SORT "
    b"|THREAD |REPLACE |UID |NOOP|ENABLE |ID |COMPRESS DEFLATE|LOGOUT|CAPABILITY|STARTTLS|LOGIN |AUTHENTICATE PLAIN"
    b"|CONDSTORE|QRESYNC|UTF8=ACCEPT|IMAP4rev2| (QRESYNC (1 2|RETURN (|SUBSCRIBED|RECURSIVEMATCH|SPECIAL-USE|CHILDREN"
    b"|STATUS (MESSAGES|MIN|MAX|ALL|COUNT|SAVE|PARTIAL 1:2|PARTIAL -2:-1|CHARSET UTF-8 |NOT |OR |HEADER |TEXT |BODY"
    b"|SUBJECT |FROM |KEYWORD |SINCE 1-Feb-2024|SENTON |LARGER |YOUNGER |MODSEQ |EMAILID |SAVEDSINCE |(DATE) UTF-8 "
    b"|REFERENCES UTF-8 |REVERSE |FLAGS|+FLAGS.SILENT |(UNCHANGEDSINCE 1) |\\Seen|(\\Deleted)|$Forwarded"
    b"|BODY.PEEK[|BODY[|BINARY[|BINARY.SIZE[|RFC822|ENVELOPE|BODYSTRUCTURE|PREVIEW (LAZY)|HEADER.FIELDS (|MIME]|1.2"
    b"|<0.5>|(CHANGEDSINCE 1 VANISHED)|(USE (\\Sent))|{5}\r\nhello|{5+}\r\nhello|{0+}\r\n|~{3+}\r\na\0b"
    b'|{6+}\r\na\r\nb\r\n|{21+}\r\n|" 1-Feb-2024 12:30:00 +0100"|UTF8 (~{3+}\r\na: )|"quoted \\" string"|&U,BTFw-'
    b"|Entw\xc3\xbcrfe|\0|\r|\n"
).split(b"|")
_ENTRY = b"a LOGIN alice secret\r\nb SELECT INBOX\r\nc "
_ANSWER = re.compile(rb'(?:[^\x00-\x20(){%*"\\+\x7f-\xff]{1,128} (?:OK|NO|BAD)|\*|\+) [^\r\n\0]*\Z')


class Watched(Fixture):
    """A house that knows what may be offered when."""

    def __init__(self, directives: Mapping[str, str]) -> None:
        super().__init__(directives)
        self._over = self._idling = False
        self._announced: list[int] = []

    def answer(self, event: object) -> None:
        """See Fixture."""
        assert not self._over, f"{event} after the end"
        if isinstance(event, SessionEnded):
            self._over = True
            assert self.engine.closing and not self._coming, "messages were left behind"
        elif isinstance(event, _LOGIN):
            assert not self.entered, event
        elif isinstance(event, events.IdleEnded):
            assert self._idling
            self._idling = False
        else:
            assert self.entered and not self._idling, event
        if isinstance(event, events.CommandOffered):
            self._offered_command(event.command)
        super().answer(event)
        if isinstance(event, events.MessageOffered):
            self._announced = [*self._announced, event.octets] if self._coming else []
        elif isinstance(event, events.MessagesDropped):
            self._announced = []

    def _offered_command(self, command: commands.Command) -> None:
        self._idling = isinstance(command, commands.Idle)
        if isinstance(command, commands.Append):
            assert list(map(len, self._coming)) == self._announced != []
            self._announced = []
        else:
            assert not self._coming, "messages of a command that was broken off"


def fuzz(data: bytes) -> None:
    """The first octet chooses the world and what the rest is, the second the cut."""
    if len(data) < 2:
        return
    client = data[2:] if data[0] < 128 else _ENTRY + b"".join(_WORDS[octet % len(_WORDS)] for octet in data[2:])
    said = engines.try_input(lambda: Watched(_WORLDS[data[0] % len(_WORLDS)]), client, data[1])
    assert said.startswith(b"* OK [CAPABILITY ")
    for line in said.split(b"\r\n")[:-1]:
        assert _ANSWER.match(line), line


if __name__ == "__main__":
    engines.run(fuzz, "imap")
