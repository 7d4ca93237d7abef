"""An IMAP session: logs in, carries out commands one by one, and keeps what the client knows."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.mailstore.interface import NoSuchMailboxError, Role, StoreError, StoreFullError
from posthouse.net.connection import Connection, ConnectionGoneError
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    LoginRefused,
    MessageChunk,
    PasswordOffered,
    SessionEnded,
    StartTlsOffered,
)
from posthouse.protocol.imap import commands, events
from posthouse.protocol.imap.server import ImapServer
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.sessions.imap import changing, fetching, listing, mailboxes, searching, selecting
from posthouse.sessions.imap.appending import Arrivals
from posthouse.sessions.imap.context import Context, ImapDependencies
from posthouse.sessions.imap.eager import eagerly
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.idling import Idling
from posthouse.sessions.imap.updating import update
from posthouse.sessions.login import SessionLogins
from posthouse.sessions.refusals import Refusals
from posthouse.sessions.services import Services

# What every account begins with (RFC 6154 2).
DEFAULT_MAILBOXES = (
    ("Archive", Role.ARCHIVE),
    ("Drafts", Role.DRAFTS),
    ("Junk", Role.JUNK),
    ("Sent", Role.SENT),
    ("Trash", Role.TRASH),
)


class ImapService:
    """Makes a session for each connection to one port."""

    def __init__(self, settings: ImapSettings, services: Services, dependencies: ImapDependencies) -> None:
        self._settings = settings
        self._services = services
        self._dependencies = dependencies

    def __call__(self, connection: Connection) -> "ImapSession":
        """A session for a new connection."""
        return ImapSession(connection, self._settings, self._services, self._dependencies)


class ImapSession:
    """One connection."""

    __slots__ = ("_arrivals", "_connection", "_ctx", "_dependencies", "_idling", "_logins", "_services", "engine")

    def __init__(
        self, connection: Connection, settings: ImapSettings, services: Services, dependencies: ImapDependencies
    ) -> None:
        tls = connection.tls
        self.engine = ImapServer(
            settings, secure=tls is not None, bindings=tls.bindings if tls else None, nonce=services.nonce
        )
        self._connection = connection
        self._services = services
        self._dependencies = dependencies
        self._logins: SessionLogins | None = SessionLogins(
            services, connection, Refusals(services.log, connection, "imap")
        )
        self._ctx: Context | None = None
        self._arrivals: Arrivals | None = None
        self._idling: Idling | None = None

    def handle(self, event: object) -> Awaitable[None] | None:
        """See Session."""
        if type(event) is events.CommandOffered:
            return eagerly(self._carry_out(event.command))
        if type(event) is MessageChunk:
            return self._arrivals.take(event.data) if self._arrivals is not None else None
        return _ANSWERS[type(event)](self, event)

    # Commands.

    async def _carry_out(self, command: commands.Command) -> None:
        ctx = self._ctx
        assert ctx is not None
        ctx.unsettled = False
        try:
            if isinstance(command, commands.Idle):
                await update(ctx, expunge=True)
                self.engine.begin_idle()
                self._idling = Idling(ctx)
            elif isinstance(command, commands.Append):
                assert self._arrivals is not None
                await self._arrivals.keep(command)
            else:
                await _COMMANDS[type(command)](ctx, command)
        except RefusedError as error:
            self.engine.finish("BAD" if error.bad else "NO", str(error), error.code)
        except StoreFullError:
            self.engine.finish("NO", "The disk is full, nothing was changed; try again later", "UNAVAILABLE")
        except NoSuchMailboxError:
            self.engine.bye("The mailbox you had open was removed")
        except StoreError as error:
            self._services.log.warning("imap command failed", connection=self._connection.id, error=error)
            self.engine.finish("NO", "Temporary storage failure, try again later", "UNAVAILABLE")
        except ConnectionGoneError:
            raise
        except Exception:
            self._services.log.exception(
                "imap command failed", connection=self._connection.id, command=type(command).__name__
            )
            self._end_by_bug(ctx, command)

    def _end_by_bug(self, ctx: Context, command: commands.Command) -> None:
        """End the command alone; the session as well when half an answer is sent, or when NO could be a lie."""
        if self.engine.unfinished or ctx.unsettled:
            self.engine.fail()
            return
        if isinstance(command, commands.Select):
            selecting.leave(ctx)  # RFC 9051 6.3.2: after a SELECT that failed no mailbox is selected
        self.engine.finish("NO", "Internal error, it was logged", "SERVERBUG")  # RFC 5530 3

    async def _message_offered(self, event: events.MessageOffered) -> None:
        assert self._ctx is not None
        if self._arrivals is None:
            self._arrivals = Arrivals(self._ctx)
        try:
            await self._arrivals.offer(event)
        except Exception:
            self._services.log.exception("imap command failed", connection=self._connection.id, command="Append")
            self._arrivals.drop()
            self.engine.refuse_message("SERVERBUG", "Internal error, it was logged")

    def _messages_dropped(self, event: events.MessagesDropped) -> None:
        if self._arrivals is not None:
            self._arrivals.drop()

    def _result_dropped(self, event: events.ResultDropped) -> None:
        if self._ctx is not None:
            self._ctx.saved = []

    async def _idle_ended(self, event: events.IdleEnded) -> None:
        if self._idling is not None:
            idling, self._idling = self._idling, None
            await idling.end()
        if event.wrong:
            self.engine.finish("BAD", "IDLE ends with DONE")
        else:
            self.engine.finish("OK", "IDLE completed")

    async def _compress(self, event: events.CompressOffered) -> None:
        await self._connection.flush(self.engine)
        self._connection.give_back(event.rest)
        self._connection.start_deflate()
        self.engine.compress_started()

    # Logging in.

    async def _start_tls(self, event: StartTlsOffered) -> None:
        tls = await self._connection.start_tls()
        self.engine.tls_started(tls.bindings)

    async def _password_offered(self, event: PasswordOffered) -> None:
        assert self._logins is not None
        await self._grant(await self._logins.verify(event))

    async def _keys_wanted(self, event: KeysWanted) -> None:
        assert self._logins is not None
        keys = await self._logins.keys(event)
        if isinstance(keys, Refusal):
            self._refuse(keys)
        else:
            self.engine.provide_keys(keys)

    async def _proven(self, event: LoginProven) -> None:
        assert self._logins is not None
        await self._grant(self._logins.admit(event))

    def _login_failed(self, event: LoginFailed) -> None:
        assert self._logins is not None
        self._refuse(self._logins.failed(event))

    def _login_refused(self, event: LoginRefused) -> None:
        if self._logins is not None:
            self._logins.refused(event)

    async def _grant(self, outcome: Account | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self._refuse(outcome)
            return
        services = self._services
        # On a disk that takes no changes: who logs in to read or to delete must be let in, the folders can wait.
        with contextlib.suppress(StoreError):
            await services.mailstore.create_default_mailboxes(outcome.id, DEFAULT_MAILBOXES)
        self._ctx = Context(self.engine, self._connection, services, outcome, self._dependencies)
        self._dependencies.watch_account(outcome.id)
        self._logins = None
        services.open_sessions.enter(self, outcome, self._revoke)
        self.engine.accept_login()

    def _revoke(self) -> None:
        self.engine.revoke()
        self._connection.wake()

    def _refuse(self, refusal: Refusal) -> None:
        """RFC 9051 7.1: AUTHENTICATIONFAILED for what the user must change, UNAVAILABLE for what passes."""
        if refusal.kind is RefusalKind.WRONG:
            self.engine.refuse_login("AUTHENTICATIONFAILED", "Wrong login or password", guess=True)
        elif refusal.kind is RefusalKind.THROTTLED:
            text = f"Too many failed logins, wait {refusal.seconds:.0f} seconds"
            self.engine.refuse_login("LIMIT", text, guess=True)
        elif refusal.kind is RefusalKind.UNREADABLE:
            self.engine.refuse_login("UNAVAILABLE", "Temporary failure, try again later", guess=False)
        else:
            self.engine.refuse_login("UNAVAILABLE", "Too many logins at once, try again later", guess=False)

    def _ended(self, event: SessionEnded) -> None:
        return None

    async def finish(self) -> None:
        """See Session."""
        if self._ctx is not None:
            self._services.open_sessions.leave(self, self._ctx.account.id)
        if self._idling is not None:
            idling, self._idling = self._idling, None
            await idling.end()
        if self._arrivals is not None:
            self._arrivals.drop()


async def _noop(ctx: Context, command: commands.Noop) -> None:
    await update(ctx, expunge=True)
    ctx.engine.done()


async def _enable(ctx: Context, command: commands.Enable) -> None:
    if not {"CONDSTORE", "QRESYNC"}.isdisjoint(command.names):
        ctx.send_highest_modseq()
    ctx.engine.done()


_COMMANDS: dict[type, Callable[[Context, Any], Awaitable[None]]] = {
    commands.Noop: _noop,
    commands.Enable: _enable,
    commands.Select: selecting.select,
    commands.Close: selecting.close,
    commands.Create: mailboxes.create,
    commands.Delete: mailboxes.delete,
    commands.Rename: mailboxes.rename,
    commands.Subscribe: mailboxes.subscribe,
    commands.Namespace: mailboxes.namespace,
    commands.Status: mailboxes.status,
    commands.GetQuota: mailboxes.quota,
    commands.SetQuota: mailboxes.set_quota,
    commands.List: listing.list_mailboxes,
    commands.Fetch: fetching.fetch,
    commands.Store: changing.store,
    commands.Copy: changing.copy,
    commands.Expunge: changing.expunge,
    commands.Search: searching.search,
}
_ANSWERS: "dict[type, Callable[[ImapSession, Any], Awaitable[None] | None]]" = {
    events.MessageOffered: ImapSession._message_offered,
    events.MessagesDropped: ImapSession._messages_dropped,
    events.ResultDropped: ImapSession._result_dropped,
    events.IdleEnded: ImapSession._idle_ended,
    events.CompressOffered: ImapSession._compress,
    StartTlsOffered: ImapSession._start_tls,
    PasswordOffered: ImapSession._password_offered,
    KeysWanted: ImapSession._keys_wanted,
    LoginProven: ImapSession._proven,
    LoginFailed: ImapSession._login_failed,
    LoginRefused: ImapSession._login_refused,
    SessionEnded: ImapSession._ended,
}
