"""A small world for POP3 transcripts: one account, a maildrop with the edges that messages have."""

from collections.abc import Mapping

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered
from posthouse.protocol.pop3.events import MaildropContents, MessageWanted, QuitOffered
from posthouse.protocol.pop3.server import Pop3Server, Pop3Settings

KEYS = ScramKeys.derive("pencil", bytes.fromhex("5b6d99689d12358eeca04b141236fa81"), 4096)  # RFC 7677 3
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"  # there too
MESSAGES = (
    b"Subject: one\r\n\r\nHello\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend\r\n",
    b"Subject: no end\r\n\r\nlast line",
    b"Subject: header only\r\n",
    b"Subject: bare\r\n\r\na\n.\nb\r\n",
)
ODD = (
    b"A: b\r\n\r\none\ntwo\n.three\r\n.four\r\n",
    b"A: b\n\n.bare\n",
    b"\r\n.\r\nno header\r\n",
    b".A: b\r\n\r\n\r\n..\r\n",
)


class Fixture:
    """Answers the events of one engine; `deleted` is what QUIT made durable."""

    def __init__(self, directives: Mapping[str, str]) -> None:
        settings = Pop3Settings(
            hostname="pop.test",
            stls=directives.get("stls", "yes") == "yes",
            plaintext_auth=directives.get("plaintext_auth", "yes") == "yes",
            scram=directives.get("scram", "yes") == "yes",
        )
        bindings = {"tls-server-end-point": b"certificate"} if directives.get("bindings") == "yes" else {}
        self.engine = Pop3Server(
            settings, secure=directives.get("secure") == "yes", bindings=bindings, nonce=lambda: NONCE
        )
        self.messages = {"empty": (), "odd": ODD}.get(directives.get("drop", ""), MESSAGES)
        self.entered = False
        self.deleted: tuple[int, ...] | None = None
        self._refusal = directives.get("refuse", "").partition(" ")  # code and text
        self._damaged = directives.get("drop") == "damaged"
        self._quit_fails = directives.get("quit") == "fails"

    def answer(self, event: object) -> None:
        """Answer one event."""
        engine = self.engine
        match event:
            case PasswordOffered():
                known = (event.login, event.password) in {
                    ("alice", "secret"),
                    ("alice", " two  words "),
                    ("user", "pencil"),
                }
                if known and event.authzid in ("", event.login):
                    self._enter()
                else:
                    engine.refuse_login("AUTH", "wrong login or password")
            case KeysWanted():
                engine.provide_keys(KEYS)
            case LoginProven():
                self._enter()
            case LoginFailed():
                engine.refuse_login("AUTH", "wrong login or password")
            case MessageWanted():
                self._send(self.messages[event.number - 1])
            case QuitOffered():
                if self._quit_fails:
                    engine.reject("SYS/TEMP", "some deleted messages were not removed")
                else:
                    self.deleted = tuple(event.deleted)
                    engine.accept_quit()

    def _enter(self) -> None:
        code, _, text = self._refusal
        if text:
            self.engine.refuse_login(code, text)
            return
        self.entered = True
        octets = [len(m) + (0 if m.endswith(b"\r\n") else 2) for m in self.messages]
        self.engine.accept_login(MaildropContents(octets, [f"id{n}" for n in range(1, len(octets) + 1)]))

    def _send(self, message: bytes) -> None:
        if self._damaged:
            self.engine.reject("SYS/PERM", "this message is damaged and cannot be read")
            return
        no_final_crlf = not message.endswith(b"\r\n")
        self.engine.begin_message(len(message) + 2 * no_final_crlf, b"\n." in message, no_final_crlf)
        for at in range(0, len(message), 5):
            if not self.engine.send_chunk(message[at : at + 5]):
                break
        self.engine.end_message()
