"""An SMTP or LMTP session: answers the engine's events with what directory and delivery know."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.delivery.content.spool import Spool
from posthouse.delivery.inbound.pipeline import NO_SPACE, TEMPORARY_FAILURE, Incoming
from posthouse.delivery.inbound.stages import Origin
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.message.envelope import Client, Envelope, Recipient, ReversePath
from posthouse.message.reply import Reply
from posthouse.net.connection import Connection
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    MessageChunk,
    PasswordOffered,
    SessionEnded,
    StartTlsOffered,
)
from posthouse.protocol.smtp import events
from posthouse.protocol.smtp.server import SmtpServer, SmtpSettings, Variant
from posthouse.sessions.login import SessionLogins
from posthouse.sessions.refusals import OnRefusal, Refusals
from posthouse.sessions.services import Services

FREE_GUESSES = 10  # recipients that do not exist, named on one connection, before answers come slowly
GUESSES_OF_SUSPECTS = 5  # of a network that is slowed down; then it is hung up on
_NAMES = {Variant.RELAY: "smtp", Variant.SUBMISSION: "submission", Variant.LMTP: "lmtp"}  # in the log
_USUAL_ENDS = frozenset({"QUIT", "the client hung up", "the server is stopping"})


class SmtpService:
    """Makes a session for each connection to one port. `on_refusal` observes what is refused there."""

    def __init__(self, settings: SmtpSettings, services: Services, on_refusal: OnRefusal | None = None) -> None:
        self._settings = settings
        self._services = services
        self._on_refusal = on_refusal

    def __call__(self, connection: Connection) -> "SmtpSession":
        """A session for a new connection."""
        return SmtpSession(connection, self._settings, self._services, self._on_refusal)


class SmtpSession:
    """One connection."""

    def __init__(
        self,
        connection: Connection,
        settings: SmtpSettings,
        services: Services,
        on_refusal: OnRefusal | None,
    ) -> None:
        tls = connection.tls
        self._trusted = services.trusts(connection.peer_ip)
        if self._trusted and settings.in_turn:  # our own devices are known, and may speak early
            settings = replace(settings, in_turn=False)
        if services.allows_bare_lf(connection.peer_ip):
            settings = replace(settings, bare_lf=True)
        self.engine = SmtpServer(
            settings, bindings=tls.bindings if tls else None, secure=tls is not None, nonce=services.nonce
        )
        self._connection = connection
        self._lmtp = settings.variant is Variant.LMTP
        self._services = services
        self._incoming: Incoming = services.incoming
        self._refusals = Refusals(services.log, connection, _NAMES[settings.variant], on_refusal)
        self._logins = SessionLogins(services, connection, self._refusals)
        self._account: Account | None = None
        self._sender = ReversePath(None)
        self._offered: Recipient | None = None  # the last one that was named, taken or not
        self._recipients: list[Recipient] = []
        self._guesses = 0  # recipients that do not exist, since a message was taken
        self._spool: Spool | None = None
        self._failure: Reply | None = None

    @property
    def _origin(self) -> Origin:
        return Origin(self._account, self._trusted)

    def handle(self, event: object) -> Awaitable[None] | None:
        """See Session."""
        if type(event) is MessageChunk:
            return self._keep(event.data)
        return _ANSWERS[type(event)](self, event)

    def _sender_offered(self, event: events.SenderOffered) -> None:
        self._sender = event.sender
        refusal = self._incoming.offer_sender(event.sender, self._origin)
        if refusal is not None:
            self.engine.reject(refusal)
        else:
            self.engine.accept_sender()

    def _recipient_offered(self, event: events.RecipientOffered) -> Awaitable[None] | None:
        recipient = self._offered = event.recipient
        answer = self._incoming.offer_recipient(self._sender, recipient.address, self._origin)
        if answer is None or isinstance(answer, Reply):
            return self._answer_recipient(recipient, answer)
        return self._wait_for_recipient(recipient, answer)

    async def _wait_for_recipient(self, recipient: Recipient, answer: Awaitable[Reply | None]) -> None:
        slowed = self._answer_recipient(recipient, await answer)
        if slowed is not None:
            await slowed

    def _answer_recipient(self, recipient: Recipient, refusal: Reply | None) -> Awaitable[None] | None:
        if refusal is None:
            self._recipients.append(recipient)
            self.engine.accept_recipient()
            return None
        # Users mistype, and who hands mail over by LMTP or from a trusted network has taken it from others.
        if refusal.enhanced == "5.1.1" and not self._lmtp and not self._origin.may_relay:
            return self._refuse_guess(refusal)
        self.engine.reject(refusal)
        return None

    def _refuse_guess(self, refusal: Reply) -> Awaitable[None] | None:
        """Nobody learns fast who exists here: first for nothing, then slowly, then not at all.

        A network that has guessed too much, by recipients or by logins, is slow from its first guess on, and is hung up
        on sooner. Recipients that exist are never held back.
        """
        self._guesses += 1
        suspected = self._services.directory.logins.note_guess(self._connection.peer_ip) > 0
        if suspected and self._guesses > GUESSES_OF_SUSPECTS:
            self.engine.hang_up(
                Reply(421, "4.7.0", "Too many unknown recipients from your network; closing connection")
            )
            return None
        # As with the bound of the engine: a list with old addresses has many good ones beside them.
        if suspected or self._guesses > max(FREE_GUESSES, len(self._recipients) // 4):
            return self._refuse_slowly(refusal)
        self.engine.reject(refusal, guessed=True)
        return None

    async def _refuse_slowly(self, refusal: Reply) -> None:
        await asyncio.sleep(self._services.guess_delay)
        self.engine.reject(refusal, guessed=True)

    def _data_offered(self, event: events.DataOffered) -> None:
        self._spool = self._incoming.open_spool()
        self._failure = None
        self.engine.accept_data()

    def _keep(self, data: bytes) -> Awaitable[None] | None:
        spool = self._spool
        if spool is None or self._failure is not None:
            return None
        spool.write(data)
        return self._flush(spool) if spool.is_due else None

    async def _flush(self, spool: Spool) -> None:
        try:
            await spool.flush()
        except StoreFullError:
            self._failure = NO_SPACE
        except StoreError:
            self._failure = TEMPORARY_FAILURE

    def _message_ended(self, event: events.MessageEnded) -> Awaitable[None]:
        return self._receive(event)

    async def _receive(self, event: events.MessageEnded) -> None:
        spool = self._spool
        assert spool is not None
        spool.has_leading_dots, spool.bare_cr_or_lf = event.has_leading_dots, event.bare_cr_or_lf
        envelope = Envelope(self._services.new_id(), self._client(), self._sender, self._recipients)
        if self._failure is not None:
            answers = [self._failure] * len(self._recipients)
        else:
            answers = await self._incoming.receive(envelope, spool, all_or_nothing=not self._lmtp, origin=self._origin)
        self._release()
        if self._lmtp:
            self.engine.finish_message(answers)
        elif answers[0].is_positive:
            self._guesses = 0
            self.engine.accept_message(answers[0])
        else:
            self.engine.reject(answers[0])

    def _client(self) -> Client:
        tls = self._connection.tls
        login = str(self._account.address) if self._account else ""
        described = f"{tls.version} {tls.cipher}" if tls else ""
        return Client(
            self._connection.peer_ip,
            self._connection.peer_port,
            self.engine.hello,
            self.engine.protocol,
            described,
            login,
        )

    def _cleared(self, event: object) -> None:
        self._recipients = []
        self._sender = ReversePath(None)
        self._release()

    def _dropped(self, event: events.MessageDropped) -> None:
        to = [str(recipient.address) for recipient in self._recipients[:10]]
        self._log("message not received", sender=self._reverse_path, to=to, reason=event.reason)
        self._release()

    def _ended(self, event: SessionEnded) -> None:
        if event.reason not in _USUAL_ENDS:
            self._log("connection ended", reason=event.reason)
        self._release()

    def _refused(self, event: events.CommandRefused) -> None:
        fields: dict[str, object] = {"login": self._login}
        if event.scope is events.RefusalScope.COMMAND:
            fields |= {"command": event.verb or None}
        else:
            fields |= {"sender": self._reverse_path}
        if event.scope is events.RefusalScope.RECIPIENT and self._offered is not None:
            fields |= {"to": str(self._offered.address)}
        self._refusals.note(event, **fields)

    def _log(self, event: str, **fields: object) -> None:
        self._refusals.log(event, login=self._login, **fields)

    @property
    def _login(self) -> str | None:
        return str(self._account.address) if self._account else None

    @property
    def _reverse_path(self) -> str:
        return str(self._sender.address or "<>")

    def _release(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    async def _start_tls(self) -> None:
        tls = await self._connection.start_tls()
        self._account = None
        self.engine.tls_started(tls.bindings)

    def _tls_offered(self, event: StartTlsOffered) -> Awaitable[None]:
        return self._start_tls()

    def _password_offered(self, event: PasswordOffered) -> Awaitable[None]:
        return self._verify(event)

    async def _verify(self, event: PasswordOffered) -> None:
        self._grant(await self._logins.verify(event))

    def _keys_wanted(self, event: KeysWanted) -> Awaitable[None]:
        return self._challenge(event)

    async def _challenge(self, event: KeysWanted) -> None:
        keys = await self._logins.keys(event)
        if isinstance(keys, Refusal):
            self._grant(keys)
        else:
            self.engine.provide_keys(keys)

    def _proven(self, event: LoginProven) -> None:
        self._grant(self._logins.admit(event))

    def _grant(self, outcome: Account | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self.engine.refuse_login(_refusal(outcome))
        else:
            self._account = outcome
            self._services.open_sessions.enter(self, outcome, self._revoke)
            self.engine.accept_login()

    def _revoke(self) -> None:
        self.engine.revoke()
        self._connection.wake()

    def _failed(self, event: LoginFailed) -> None:
        self._grant(self._logins.failed(event))

    async def finish(self) -> None:
        """See Session."""
        self._release()
        if self._account is not None:
            self._services.open_sessions.leave(self, self._account.id)


def _refusal(refusal: Refusal) -> Reply:
    """RFC 4954 6: 535 for what cannot be right, 454 for what may be right later."""
    if refusal.kind is RefusalKind.WRONG:
        return Reply(535, "5.7.8", "Wrong login or password")
    if refusal.kind is RefusalKind.THROTTLED:
        return Reply(454, "4.7.0", f"Too many failed logins; wait {refusal.seconds:.0f} seconds")
    if refusal.kind is RefusalKind.UNREADABLE:
        return Reply(454, "4.7.0", "Temporary failure; try again later")
    return Reply(454, "4.7.0", "Too many logins at once; try again later")


_ANSWERS: "dict[type, Callable[[SmtpSession, Any], Awaitable[None] | None]]" = {
    events.SenderOffered: SmtpSession._sender_offered,
    events.RecipientOffered: SmtpSession._recipient_offered,
    events.DataOffered: SmtpSession._data_offered,
    events.MessageEnded: SmtpSession._message_ended,
    events.MessageDropped: SmtpSession._dropped,
    events.EnvelopeCleared: SmtpSession._cleared,
    StartTlsOffered: SmtpSession._tls_offered,
    PasswordOffered: SmtpSession._password_offered,
    KeysWanted: SmtpSession._keys_wanted,
    LoginProven: SmtpSession._proven,
    LoginFailed: SmtpSession._failed,
    SessionEnded: SmtpSession._ended,
    events.CommandRefused: SmtpSession._refused,
}
