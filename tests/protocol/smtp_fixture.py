"""A small world for SMTP transcripts: two accounts, one full mailbox, and answers that depend on nothing else."""

from collections.abc import Mapping

from posthouse.message.credentials import ScramKeys
from posthouse.message.envelope import Recipient
from posthouse.message.reply import Reply
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    MessageChunk,
    PasswordOffered,
)
from posthouse.protocol.smtp import events
from posthouse.protocol.smtp.server import SmtpServer, SmtpSettings, Variant

KEYS = ScramKeys.derive("pencil", bytes.fromhex("5b6d99689d12358eeca04b141236fa81"), 4096)  # RFC 7677 3


class Fixture:
    """Answers the events of one engine; `messages` are those that were accepted."""

    def __init__(self, directives: Mapping[str, str]) -> None:
        self.lmtp = directives.get("variant") == "lmtp"
        settings = SmtpSettings(
            hostname="mx.test",
            variant=Variant(directives.get("variant", "relay")),
            max_size=int(directives.get("max_size", 1_000_000)),
            max_recipients=int(directives.get("max_recipients", 100)),
            max_unknown=int(directives.get("max_unknown", 20)),
            max_header=int(directives.get("max_header", 10_000)),
            starttls=directives.get("starttls", "yes") == "yes",
            auth=directives.get("auth", "no") == "yes" or directives.get("variant") == "submission",
            plaintext_auth=directives.get("plaintext_auth", "no") == "yes",
            bare_lf=directives.get("bare_lf", "no") == "yes",
            scram=directives.get("scram", "yes") == "yes",
        )
        bindings = {"tls-server-end-point": b"certificate"} if directives.get("bindings") == "yes" else {}
        nonce = directives.get("nonce", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        self.engine = SmtpServer(
            settings, bindings=bindings, secure=directives.get("secure") == "yes", nonce=lambda: nonce
        )
        self.messages: list[bytes] = []
        self.dropped: list[str] = []
        self.refused: list[events.CommandRefused] = []
        self._content = b""
        self._recipients: list[Recipient] = []

    def answer(self, event: object) -> None:
        """Answer one event."""
        engine = self.engine
        match event:
            case events.SenderOffered():
                address = event.sender.address
                blocked = address is not None and address.local == "blocked"
                engine.reject(Reply(550, "5.7.1", "Sender refused")) if blocked else engine.accept_sender()
            case events.RecipientOffered():
                self._recipient(event.recipient)
            case events.DataOffered():
                self._content = b""
                nowhere = any(recipient.address.local == "nowhere" for recipient in self._recipients)
                engine.reject(Reply(451, "4.3.0", "No room now")) if nowhere else engine.accept_data()
            case MessageChunk():
                self._content += event.data
            case events.MessageEnded():
                assert event.octets == len(self._content)
                self._end()
            case events.MessageDropped():
                self.dropped.append(event.reason)
                self._content = b""
            case events.CommandRefused():
                self.refused.append(event)
            case events.EnvelopeCleared():
                self._recipients = []
            case PasswordOffered():
                known = (event.login, event.password) in {("alice", "secret"), ("user", "pencil")}
                known = known and event.authzid in ("", event.login)
                engine.accept_login() if known else engine.refuse_login(Reply(535, "5.7.8", "Wrong login or password"))
            case KeysWanted():
                engine.provide_keys(KEYS)
            case LoginProven():
                engine.accept_login()
            case LoginFailed():
                engine.refuse_login(Reply(535, "5.7.8", "Wrong login or password"))

    def _recipient(self, recipient: Recipient) -> None:
        if recipient.address.local == "unknown":
            self.engine.reject(Reply(550, "5.1.1", "There is no such mailbox here"), guessed=True)
        elif recipient.address.local == "later":
            self.engine.reject(Reply(451, "4.3.0", "Try again later"))
        else:
            self._recipients.append(recipient)
            self.engine.accept_recipient()

    def _end(self) -> None:
        full = Reply(552, "5.2.2", "The mailbox is full")
        answers = [full if r.address.local == "full" else Reply(250, "2.0.0", "Kept") for r in self._recipients]
        self.messages.append(self._content)
        if self.lmtp:
            self.engine.finish_message(answers)
        elif full in answers:
            self.engine.reject(full)
        else:
            self.engine.accept_message(Reply(250, "2.0.0", f"Kept, {len(self._content)} octets"))
