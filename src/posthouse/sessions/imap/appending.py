"""APPEND, with many messages at once (RFC 3502), and REPLACE (RFC 8508)."""

from collections.abc import Awaitable

from posthouse.delivery.content.slices import in_slices
from posthouse.delivery.content.spool import Spool
from posthouse.mailstore.interface import (
    Appending,
    Body,
    Marks,
    NoSuchMailboxError,
    OverQuotaError,
    StoreError,
    StoreFullError,
)
from posthouse.message.line_ends import LineEnds
from posthouse.protocol.imap.commands import Append
from posthouse.protocol.imap.events import MessageOffered
from posthouse.protocol.imap.sets import NumberSet, compact
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.fetching import check_numbers
from posthouse.sessions.imap.flags import marks
from posthouse.sessions.imap.line_ends import LineScan
from posthouse.sessions.imap.updating import update

MAX_MESSAGES = 1000  # of one command


# Made for each use: an exception that is raised again and again would keep every session it was raised in.
def _no_space() -> RefusedError:
    return RefusedError("The disk is full, nothing was stored; try again later", "UNAVAILABLE")


def _storage_failure() -> RefusedError:
    return RefusedError("Temporary storage failure, nothing was stored; try again later", "UNAVAILABLE")


class Arrivals:
    """The messages of one command, while they come."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._spools: list[tuple[Spool, int, Marks]] = []
        self._line_ends = LineEnds()  # of the message at hand
        self._octets = 0
        self._failure: RefusedError | None = None

    async def offer(self, offer: MessageOffered) -> None:
        """Look before the octets come whether there is a place for them."""
        engine = self._ctx.engine
        try:
            await self._check(offer)
            named = marks(offer.flags, lenient=True)
        except RefusedError as error:
            self.drop()
            engine.refuse_message(error.code, str(error))
            return
        self._end_message()
        self._line_ends = LineEnds(binary=offer.binary)
        spool = self._ctx.services.incoming.open_spool()
        received = int(self._ctx.dependencies.clock()) if offer.date is None else offer.date
        self._spools.append((spool, received, named))
        engine.accept_message()

    async def _check(self, offer: MessageOffered) -> None:
        ctx = self._ctx
        if offer.octets > ctx.engine.append_limit:
            raise RefusedError(f"A message may have {ctx.engine.append_limit} octets", "TOOBIG")
        if not offer.octets:
            raise RefusedError("Message is empty", "CANNOT")
        self._octets += offer.octets
        if len(self._spools) >= MAX_MESSAGES or (self._spools and self._octets > 4 * ctx.engine.append_limit):
            raise RefusedError("That is too much for one command", "LIMIT")
        try:
            if not self._spools and await ctx.store.mailbox(ctx.account.id, offer.mailbox) is None:
                raise RefusedError("There is no such mailbox", "TRYCREATE")
            # RFC 8508 3.4: what is replaced makes room; how much, the store counts when all has come.
            if ctx.account.quota is not None and not offer.replacing:
                usage = await ctx.store.usage(ctx.account.id)
                if usage.octets + self._octets > ctx.account.quota:
                    raise RefusedError("There is no room for this message", "OVERQUOTA")
        except StoreError:
            raise _storage_failure() from None

    def take(self, data: bytes) -> Awaitable[None] | None:
        """Octets of the message at hand; what is returned is to be awaited before the next."""
        self._write(self._line_ends.feed(data))
        if self._failure is None and self._spools and self._spools[-1][0].is_due:
            return self._flush(self._spools[-1][0])
        return None

    async def _flush(self, spool: Spool) -> None:
        try:
            await spool.flush()
        except StoreFullError:
            self._failure = _no_space()
        except StoreError:
            self._failure = _storage_failure()

    def _end_message(self) -> None:
        """The message at hand, if there is one, has come to its end."""
        self._write(self._line_ends.end())
        self._line_ends = LineEnds()

    def _write(self, data: bytes) -> None:
        if data and self._failure is None and self._spools:
            self._spools[-1][0].write(data)

    async def keep(self, command: Append) -> None:
        """All messages have come: make them durable, all or none."""
        self._end_message()
        try:
            if self._failure is not None:
                raise self._failure
            await self._keep(command)
        finally:
            self.drop()

    async def _keep(self, command: Append) -> None:
        ctx = self._ctx
        replacing = await self._replaced(command)
        messages = []
        for spool, received, named in self._spools:
            scan = LineScan()
            async for piece in in_slices(spool.chunks()):
                scan.feed(piece)
            spool.has_leading_dots, spool.bare_cr_or_lf = scan.dots, scan.bare
            body: Body = spool
            messages.append(Appending(body, received, named))
        try:
            quota = ctx.account.quota
            placed = await ctx.commit(
                ctx.store.append(ctx.account.id, command.mailbox, messages, quota=quota, replacing=replacing)
            )
        except NoSuchMailboxError:
            if replacing is not None and await ctx.store.mailbox(ctx.account.id, command.mailbox) is not None:
                raise RefusedError("The message to replace was expunged", "EXPUNGEISSUED") from None
            raise RefusedError("There is no such mailbox", "TRYCREATE") from None
        except OverQuotaError:
            raise RefusedError("There is no room for this message", "OVERQUOTA") from None
        except StoreFullError:
            raise _no_space() from None
        except StoreError:
            raise _storage_failure() from None
        code = f"APPENDUID {placed.uidvalidity} {compact(placed.uids).decode()}"
        if command.replacing is not None:  # RFC 8508 3.4
            ctx.engine.send(f"* OK [{code}] Replaced\r\n".encode())
            await update(ctx, expunge=True)
            ctx.engine.done(f"HIGHESTMODSEQ {max(1, ctx.opened.mailbox.modseq)}" if ctx.mode.qresync else "")  # 4.5
            return
        await update(ctx, expunge=True)
        ctx.engine.done(code)

    async def _replaced(self, command: Append) -> tuple[int, int] | None:
        if command.replacing is None:
            return None
        view = self._ctx.opened
        if view.read_only:
            raise RefusedError("The mailbox is open for reading only", "READ-ONLY")
        check_numbers(view, command.replacing, uid=command.uid)
        numbers = NumberSet(((command.replacing, command.replacing),))
        chosen = view.positions(numbers, uid=command.uid)
        if not chosen:
            raise RefusedError("There is no message to replace", bad=not command.uid)
        return view.mailbox.id, view.messages[chosen[0]]

    def drop(self) -> None:
        """Give the spools back."""
        for spool, _, _ in self._spools:
            spool.close()
        self._spools.clear()
        self._line_ends = LineEnds()
        self._octets = 0
        self._failure = None
