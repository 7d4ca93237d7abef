"""A small world for IMAP transcripts: one account, whose commands are repeated as they were understood."""

import dataclasses
from collections.abc import Mapping

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    MessageChunk,
    PasswordOffered,
)
from posthouse.protocol.imap import commands, events
from posthouse.protocol.imap.server import ImapServer
from posthouse.protocol.imap.settings import ImapSettings

KEYS = ScramKeys.derive("pencil", bytes.fromhex("5b6d99689d12358eeca04b141236fa81"), 4096)  # RFC 7677 3
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"  # there too


class Fixture:
    """Answers the events of one engine. `messages` are those that were kept, `dropped` how often some were not."""

    def __init__(self, directives: Mapping[str, str]) -> None:
        settings = ImapSettings(
            hostname="imap.test",
            version=directives.get("version", ""),
            starttls=directives.get("starttls", "yes") == "yes",
            plaintext_auth=directives.get("plaintext_auth", "yes") == "yes",
            scram=directives.get("scram", "yes") == "yes",
            append_limit=int(directives.get("append_limit", 1000)),
        )
        bindings = {"tls-server-end-point": b"certificate"} if directives.get("bindings") == "yes" else {}
        self.engine = ImapServer(
            settings, secure=directives.get("secure") == "yes", bindings=bindings, nonce=lambda: NONCE
        )
        self.entered = False
        self.messages: list[bytes] = []
        self.dropped = 0
        self.heard: list[commands.Command] = []
        self._coming: list[bytes] = []
        self._refusal = directives.get("refuse", "").partition(" ")  # code and text

    def answer(self, event: object) -> None:
        """Answer one event."""
        engine = self.engine
        match event:
            case PasswordOffered():
                known = (event.login, event.password) in {
                    ("alice", "secret"),
                    ("alice", ' "two" \\words '),
                    ("älice", "gehëim"),
                    ("user", "pencil"),
                }
                if known and event.authzid in ("", event.login):
                    self._enter()
                else:
                    engine.refuse_login("AUTHENTICATIONFAILED", "Wrong login or password", guess=True)
            case KeysWanted():
                engine.provide_keys(KEYS)
            case LoginProven():
                self._enter()
            case LoginFailed():
                engine.refuse_login("AUTHENTICATIONFAILED", "Wrong login or password", guess=True)
            case events.MessageOffered():
                self._offered(event)
            case MessageChunk():
                self._coming[-1] += event.data
            case events.MessagesDropped():
                self._coming.clear()
                self.dropped += 1
            case events.CommandOffered():
                self._carry_out(event.command)
            case events.IdleEnded():
                if event.wrong:
                    engine.finish("BAD", "IDLE ends with DONE")
                else:
                    engine.finish("OK", "IDLE completed")
            case events.CompressOffered():
                engine.compress_started()
                engine.receive_data(event.rest)  # this world's compression changes nothing

    def _enter(self) -> None:
        code, _, text = self._refusal
        if text:
            self.engine.refuse_login(code, text, guess=False)
        else:
            self.entered = True
            self.engine.accept_login()

    def _offered(self, event: events.MessageOffered) -> None:
        if event.mailbox == "missing":
            self._coming.clear()
            self.engine.refuse_message("TRYCREATE", "There is no such mailbox")
        elif event.octets > self.engine.append_limit:
            self._coming.clear()
            self.engine.refuse_message("TOOBIG", f"A message may have {self.engine.append_limit} octets")
        else:
            self._coming.append(b"")
            self.engine.accept_message()

    def _carry_out(self, command: commands.Command) -> None:
        engine = self.engine
        self.heard.append(command)
        match command:
            case commands.Idle():
                engine.begin_idle()
                return
            case commands.Noop() | commands.Enable():
                pass
            case commands.Append():
                engine.send(f"* HEARD {format_command(command)} of {', '.join(map(str, self._coming))}\r\n".encode())
                self.messages += self._coming
                self._coming.clear()
            case _:
                engine.send(f"* HEARD {format_command(command)}\r\n".encode())
        match command:
            case commands.Select():
                if command.mailbox == "missing":
                    engine.finish("NO", "There is no such mailbox", "NONEXISTENT")
                    return
                engine.select(True)
            case commands.Close():
                engine.select(False)
            case commands.Fetch():
                engine.send(b"* 1 FETCH (FLAGS ())\r\n")
        engine.done()


def format_command(command: commands.Command) -> str:
    """A command with what is not as by default; in ASCII."""
    said = []
    for each in dataclasses.fields(command):
        value = getattr(command, each.name)
        if value != each.default:
            said.append(f"{each.name}={sorted(value) if isinstance(value, frozenset) else value!r}")
    return ascii(f"{type(command).__name__}({', '.join(said)})")[1:-1].replace("\\'", "'")


# What is announced, so that not every transcript spells it out: capability.txt does.
WORDS = {
    b"<first>": b"IMAP4rev1 IMAP4rev2 SASL-IR LITERAL+ ID ENABLE",
    b"<then>": (
        b"IDLE NAMESPACE CHILDREN UIDPLUS MOVE UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS"
        b" STATUS=SIZE ESEARCH SEARCHRES WITHIN CONDSTORE QRESYNC SORT SORT=DISPLAY ESORT THREAD=REFERENCES"
        b" THREAD=ORDEREDSUBJECT MULTIAPPEND BINARY UTF8=ACCEPT QUOTA QUOTA=RES-STORAGE OBJECTID REPLACE SAVEDATE"
        b" PREVIEW PARTIAL APPENDLIMIT=1000 COMPRESS=DEFLATE"
    ),
    b"<plain>": b"AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN",
}
