"""A POP3 session: locks the maildrop at login, streams messages, makes deletions durable at QUIT."""

import contextlib
from array import array
from collections.abc import Awaitable, Sequence
from typing import overload

from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.database.errors import DatabaseError
from posthouse.database.leases import Lease
from posthouse.mailstore.interface import INBOX, DamagedError, MaildropColumns, MessageRef, StoreError, Traits
from posthouse.net.connection import Connection
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    LoginRefused,
    PasswordOffered,
    StartTlsOffered,
)
from posthouse.protocol.pop3.events import MaildropContents, MessageWanted, QuitOffered
from posthouse.protocol.pop3.server import Pop3Server, Pop3Settings
from posthouse.sessions.login import SessionLogins
from posthouse.sessions.refusals import Refusals
from posthouse.sessions.services import Services

LEASE_SECONDS = 60.0  # so long a maildrop stays locked after its worker was killed; renewed while the session lives
RENEW_SECONDS = 20.0  # between two calls of Pop3Service.renew
_AHEAD = 64  # messages looked up with one that is asked for: clients go through them in order
_KNOWN = 2000  # of them are held
_PIECE = 1 << 17  # octets read at once: nearly every message, so that it is compared with what was kept on the way


class Pop3Service:
    """Makes a session for each connection to one port."""

    def __init__(self, settings: Pop3Settings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._holding: set[Pop3Session] = set()

    def __call__(self, connection: Connection) -> "Pop3Session":
        """A session for a new connection."""
        return Pop3Session(connection, self._settings, self._services, self._holding)

    async def renew(self) -> None:
        """Hold on to every maildrop that a session has open. To be called every RENEW_SECONDS."""
        for session in list(self._holding):
            await session.renew()


class Pop3Session:
    """One connection."""

    def __init__(
        self, connection: Connection, settings: Pop3Settings, services: Services, holding: "set[Pop3Session]"
    ) -> None:
        """`holding`: the sessions that hold a maildrop; this one joins and leaves it."""
        tls = connection.tls
        self.engine = Pop3Server(
            settings, secure=tls is not None, bindings=tls.bindings if tls else None, nonce=services.nonce
        )
        self._connection = connection
        self._services = services
        self._logins = SessionLogins(services, connection, Refusals(services.log, connection, "pop3"))
        self._account: Account | None = None
        self._lease: Lease | None = None
        self._held_until = 0.0  # the loop's time; so long the lease is certainly ours
        self._messages = array("Q")  # ids, in the order of the session's numbers
        self._entries: dict[int, MessageRef] = {}  # by message id: what was looked up
        self._holding = holding

    def handle(self, event: object) -> Awaitable[None] | None:
        """See Session."""
        match event:
            case MessageWanted():
                return self._answer(event)
            case PasswordOffered():
                return self._verify(event)
            case QuitOffered():
                return self._quit(event)
            case KeysWanted():
                return self._challenge(event)
            case LoginProven():
                return self._enter(self._logins.admit(event))
            case LoginFailed():
                self._refuse(self._logins.failed(event))
            case LoginRefused():
                self._logins.refused(event)
            case StartTlsOffered():
                return self._start_tls()
        return None

    async def _start_tls(self) -> None:
        tls = await self._connection.start_tls()
        self.engine.tls_started(tls.bindings)

    async def _challenge(self, offer: KeysWanted) -> None:
        keys = await self._logins.keys(offer)
        if isinstance(keys, Refusal):
            self._refuse(keys)
        else:
            self.engine.provide_keys(keys)

    async def _verify(self, offer: PasswordOffered) -> None:
        await self._enter(await self._logins.verify(offer))

    async def _enter(self, outcome: Account | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self._refuse(outcome)
            return
        try:
            self._lease = await self._services.leases.take(f"maildrop:{outcome.id}", LEASE_SECONDS)
        except DatabaseError as error:
            self._logins.refused(LoginRefused(f"the maildrop cannot be locked: {error}"), outcome)
            self.engine.refuse_login("SYS/TEMP", "the maildrop cannot be locked now, try again later")
            return
        self._held_until = self._connection.now() + LEASE_SECONDS
        if self._lease is None:
            self._logins.refused(LoginRefused("another session has this maildrop open"), outcome)
            self.engine.refuse_login("IN-USE", "another session has this maildrop open")
            return
        self._holding.add(self)
        try:
            maildrop = await self._services.mailstore.maildrop(outcome.id)
        except StoreError as error:
            self._logins.refused(LoginRefused(f"the maildrop cannot be read: {error}"), outcome)
            await self._give_back()
            self.engine.refuse_login("SYS/TEMP", "temporary storage failure, try again later")
            return
        self._account = outcome
        self._services.open_sessions.enter(self, outcome, self._revoke)
        self._messages = maildrop.messages
        self._entries = {entry.message: entry for entry in maildrop.first}
        self.engine.accept_login(_drop(outcome, maildrop))

    def _refuse(self, refusal: Refusal) -> None:
        # RFC 3206 4: AUTH for what the user must change, SYS/TEMP for what passes; RFC 2449 8.1.2: LOGIN-DELAY.
        if refusal.kind is RefusalKind.WRONG:
            self.engine.refuse_login("AUTH", "wrong login or password")
        elif refusal.kind is RefusalKind.THROTTLED:
            self.engine.refuse_login("LOGIN-DELAY", f"too many failed logins, wait {refusal.seconds:.0f} seconds")
        elif refusal.kind is RefusalKind.UNREADABLE:
            self.engine.refuse_login("SYS/TEMP", "temporary failure, try again later")
        else:
            self.engine.refuse_login("SYS/TEMP", "too many logins at once, try again later")

    def _answer(self, offer: MessageWanted) -> Awaitable[None]:
        entry = self._entries.get(self._messages[offer.number - 1])
        return self._find(offer) if entry is None else self._send(entry, offer.lines)

    async def _find(self, offer: MessageWanted) -> None:
        """Look a message up, and those that are likely to be asked for next."""
        assert self._account is not None
        at = offer.number - 1
        try:
            found = await self._services.mailstore.find(self._account.id, INBOX, self._messages[at : at + _AHEAD])
        except StoreError as error:
            self._services.log.error("message not read", connection=self._connection.id, error=error)
            self.engine.reject("SYS/TEMP", "this message cannot be read at the moment, try again later")
            return
        if len(self._entries) > _KNOWN:
            self._entries.clear()
        self._entries.update((entry.message, entry) for entry in found)
        entry = self._entries.get(self._messages[at])
        if entry is None:
            self.engine.reject("", "this message was removed by another program")
        else:
            await self._send(entry, offer.lines)

    async def _send(self, entry: MessageRef, lines: int | None) -> None:
        data = await self._read_first(entry, whole=lines is None)
        if data:
            traits = entry.traits
            self.engine.begin_message(
                entry.sent_octets,
                bool(traits & (Traits.HAS_LEADING_DOTS | Traits.BARE_CR_OR_LF)),
                bool(traits & Traits.NO_FINAL_CRLF),
            )
            await self._stream(entry, data)

    async def _read_first(self, entry: MessageRef, *, whole: bool) -> bytes:
        """The first octets of a message; b"" when it is refused. `whole`: all of it is to be sent."""
        store = self._services.mailstore
        try:
            if whole and entry.octets > _PIECE:
                await store.check(entry)  # as a short one is when it is read: what is damaged is never sent as sound
            data = await store.read(entry, 0, _PIECE)
            if not data:
                raise DamagedError("nothing there")
        except DamagedError as error:
            self._services.log.error("message damaged", connection=self._connection.id, error=error)
            # RFC 3206 5: not until somebody restores it from a backup
            self.engine.reject("SYS/PERM", "this message is damaged on the server's disk and cannot be read")
        except StoreError as error:
            self._services.log.error("message not read", connection=self._connection.id, error=error)
            self.engine.reject("SYS/TEMP", "this message cannot be read at the moment, try again later")
        except Exception:
            self._services.log.exception("pop3 command failed", connection=self._connection.id)
            self.engine.reject("SYS/TEMP", "internal error, it was logged")
        else:
            return data
        return b""

    async def _stream(self, entry: MessageRef, data: bytes) -> None:
        """Send the message, whose first octets are `data`."""
        engine, read = self.engine, self._services.mailstore.read
        sent = 0
        while data:
            sent += len(data)
            if not engine.send_chunk(data) or sent >= entry.octets:
                break
            await self._connection.flush(engine)
            try:
                data = await read(entry, sent, _PIECE)
            except StoreError:
                # Half of it is with the client already: only a cut link tells it that the rest will not come.
                self._connection.abort()
                return
        engine.end_message()

    async def _quit(self, offer: QuitOffered) -> None:
        assert self._account is not None and self._lease is not None
        ids = [self._messages[number - 1] for number in offer.deleted]
        try:
            if ids and not await self._is_ours(self._lease):
                raise StoreError("the lease was lost")
            if ids:
                await self._services.mailstore.expunge(self._account.id, INBOX, ids)
        except StoreError:
            self.engine.reject("SYS/TEMP", "some deleted messages were not removed")
            return
        await self._give_back()
        self.engine.accept_quit()

    async def renew(self) -> None:
        """Hold on to the maildrop. One that was lost stays lost: QUIT will say so."""
        if self._lease is not None:
            await self._is_ours(self._lease)

    async def _is_ours(self, lease: Lease) -> bool:
        """Whether the maildrop is still ours, held for longer if that can be. A full disk must not keep mail on it."""
        now = self._connection.now()
        try:
            if not await self._services.leases.renew(lease, LEASE_SECONDS):
                return False
        except DatabaseError:
            return now < self._held_until
        self._held_until = now + LEASE_SECONDS
        return True

    async def _give_back(self) -> None:
        self._holding.discard(self)
        lease, self._lease = self._lease, None
        if lease is not None:
            with contextlib.suppress(DatabaseError):  # then it lapses by itself
                await self._services.leases.release(lease)

    def _revoke(self) -> None:
        self.engine.revoke()
        self._connection.wake()

    async def finish(self) -> None:
        """See Session."""
        if self._account is not None:
            self._services.open_sessions.leave(self, self._account.id)
        await self._give_back()


def _drop(account: Account, maildrop: MaildropColumns) -> MaildropContents:
    return MaildropContents(maildrop.sent_octets, UniqueIds(f"{account.id:x}", maildrop.messages))


class UniqueIds(Sequence[str]):
    """What UIDL says of each message, made when it is asked for."""

    __slots__ = ("_account", "_messages")

    def __init__(self, account: str, messages: "array[int]") -> None:
        self._account = account
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [f"{self._account}.{message:x}" for message in self._messages[at]]
        return f"{self._account}.{self._messages[at]:x}"
