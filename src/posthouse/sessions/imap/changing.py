"""STORE, COPY, MOVE and EXPUNGE."""

import contextlib
from collections.abc import Sequence

from posthouse.mailstore.interface import (
    SYSTEM_FLAGS,
    Marked,
    Marks,
    MessageColumns,
    NoSuchMailboxError,
    OverQuotaError,
    Placed,
    Setting,
    StoreError,
    StoreFullError,
    TooManyKeywordsError,
)
from posthouse.protocol.imap.commands import Copy, Expunge, Store
from posthouse.protocol.imap.sets import compact
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.fetching import check_numbers
from posthouse.sessions.imap.flags import marks
from posthouse.sessions.imap.pieces import in_pieces
from posthouse.sessions.imap.updating import tell_flags, update
from posthouse.sessions.imap.view import View

_AT_ONCE = 2000  # messages that are marked in one transaction
_SETTINGS = {"": Setting.REPLACE, "+": Setting.ADD, "-": Setting.REMOVE}


async def store(ctx: Context, command: Store) -> None:
    """Change flags; durable before the client hears of it."""
    view = _writable(ctx)
    check_numbers(view, command.numbers.greatest, uid=command.uid)
    named = marks(command.flags)
    if command.unchanged_since is not None:
        ctx.notice_condstore()
    chosen = view.positions(command.numbers, uid=command.uid, saved=ctx.saved)
    marked = await _marked(ctx, view, chosen, command, named)
    with contextlib.suppress(StoreError):  # the change is made: keywords without their names are left out
        await ctx.flags.learn({row.flags for row in marked.rows})
    surprising: list[int] = []
    async for rows in in_pieces(marked.rows):
        if command.silent:
            surprising += _surprising(ctx, view, rows, command, named)
        for row in rows:
            view.note(row)
    await _send_flags(ctx, view, marked.rows, command, surprising)
    failed = _failed(view, chosen, marked.rows, command)
    await update(ctx, expunge=command.uid, own=marked.modseq)
    code = ""
    if failed:
        code = f"MODIFIED {compact(failed).decode()}"
    elif len(marked.rows) < len(chosen) and not (command.uid or command.silent):
        if not marked.rows:  # RFC 2180 4.2.2
            raise RefusedError("These messages were expunged", "EXPUNGEISSUED")
        code = "EXPUNGEISSUED"
    ctx.engine.done(code)


def _failed(view: View, chosen: Sequence[int], rows: list[MessageColumns], command: Store) -> list[int]:
    """The numbers of those that a conditional STORE left alone: what was changed (RFC 7162 3.1.3), and what is gone."""
    if command.unchanged_since is None:
        return []
    done = {row.uid for row in rows}
    failed = [at for at in chosen if view.uids[at] not in done]
    return [view.uids[at] for at in failed] if command.uid else [at + 1 for at in failed]


async def _marked(ctx: Context, view: View, chosen: Sequence[int], command: Store, named: Marks) -> Marked:
    """Many at once are marked in several transactions: others' mail is not to wait for all of it.

    What fails in the middle leaves the first ones marked; the client will hear of it as of a change by others.
    """
    rows: list[MessageColumns] = []
    conflicts: list[int] = []
    modseq, known = 0, view.modseq
    async with ctx.share(len(chosen)):
        for start in range(0, max(1, len(chosen)), _AT_ONCE):
            messages = [view.messages[at] for at in chosen[start : start + _AT_ONCE]]
            try:
                marked = await ctx.commit(
                    ctx.store.mark(
                        ctx.account.id,
                        view.mailbox.id,
                        messages,
                        _SETTINGS[command.how],
                        named,
                        unchanged_since=command.unchanged_since,
                    )
                )
            except TooManyKeywordsError as error:
                raise RefusedError(f"No more keywords: {error}", "LIMIT") from None
            except StoreFullError:
                if not start:
                    raise
                raise RefusedError("The disk is full, only some were changed; try again later", "UNAVAILABLE") from None
            rows += marked.rows
            conflicts += marked.conflicts
            if modseq and modseq == known + 1:
                known = modseq  # this session's own, and nobody else's in between
            modseq = marked.modseq or modseq
    if known > view.modseq:
        view.note_change(known)
    return Marked(rows, conflicts, modseq)


def _surprising(ctx: Context, view: View, rows: Sequence[MessageColumns], command: Store, named: Marks) -> list[int]:
    """Uids of messages whose flags are not what the client makes of what it knows and has asked for."""
    expected: dict[int, tuple[int, frozenset[str]]] = {}  # flags -> what the client makes of them
    found = []
    for row in rows:
        before = view.flags[view.position(row.uid)]
        if before not in expected:
            expected[before] = _expected(ctx, before, command.how, named)
        if expected[before] != _by_name(ctx, row.flags):
            found.append(row.uid)
    return found


def _expected(ctx: Context, flags: int, how: str, named: Marks) -> tuple[int, frozenset[str]]:
    system, keywords = _by_name(ctx, flags)
    wanted = frozenset(map(str.lower, named.keywords))
    match how:
        case "+":
            return system | named.flags, keywords | wanted
        case "-":
            return system & ~named.flags, keywords - wanted
    return int(named.flags), wanted


def _by_name(ctx: Context, flags: int) -> tuple[int, frozenset[str]]:
    return flags & SYSTEM_FLAGS, frozenset(map(str.lower, ctx.keywords.of(flags)))


async def _send_flags(
    ctx: Context, view: View, rows: Sequence[MessageColumns], command: Store, surprising: list[int]
) -> None:
    if not command.silent:
        # RFC 3501 6.4.8: what a UID command makes us say of a message names its UID
        await tell_flags(ctx, view, [view.position(row.uid) for row in rows], uid=command.uid)
        return
    # RFC 9051 6.4.6: what others have changed is sent even so
    await tell_flags(ctx, view, [view.position(uid) for uid in surprising], uid=command.uid)
    if ctx.mode.condstore:  # RFC 7162 3.1.3: the new modseq is sent even so
        async for piece in in_pieces(rows):
            ctx.engine.send(
                b"".join(
                    b"* %d FETCH (UID %d MODSEQ (%d))\r\n" % (view.position(row.uid) + 1, row.uid, row.modseq)
                    for row in piece
                )
            )


async def copy(ctx: Context, command: Copy) -> None:
    """COPY and MOVE: all or nothing (RFC 9051 6.4.7, RFC 6851 3.3)."""
    view = _writable(ctx) if command.move else ctx.opened
    check_numbers(view, command.numbers.greatest, uid=command.uid)
    chosen = view.positions(command.numbers, uid=command.uid, saved=ctx.saved)
    if not (command.uid or command.move):
        await update(ctx, expunge=False)
        if any(view.uids[at] in view.gone for at in chosen):  # RFC 9051 6.4.7: no copy of only some of them
            raise RefusedError("Some of these messages were expunged, none was copied", "EXPUNGEISSUED")
    messages = [view.messages[at] for at in chosen]
    account, mailbox = ctx.account, view.mailbox.id
    if await ctx.store.mailbox(account.id, command.mailbox) is None:
        raise RefusedError("There is no such mailbox", "TRYCREATE")
    try:
        async with ctx.share(len(messages)):
            if command.move:
                work = ctx.store.move(account.id, mailbox, messages, command.mailbox)
            else:
                work = ctx.store.copy(account.id, mailbox, messages, command.mailbox, quota=account.quota)
            placed = await ctx.commit(work)
    except OverQuotaError:
        raise RefusedError("There is no room for these copies", "OVERQUOTA") from None
    except NoSuchMailboxError:
        raise RefusedError("There is no such mailbox", "TRYCREATE") from None
    code = _copied(placed) if placed.uids else ""
    if command.move and code:
        ctx.engine.send(f"* OK [{code}] Moved\r\n".encode())  # RFC 6851 4.3: before the EXPUNGE
        code = ""
    await update(ctx, expunge=command.uid or command.move)
    if command.move and ctx.mode.qresync:
        code = f"HIGHESTMODSEQ {max(1, view.mailbox.modseq)}"  # RFC 7162 3.2.9 by way of RFC 6851 4.4
    ctx.engine.done(code)


def _copied(placed: Placed) -> str:
    return f"COPYUID {placed.uidvalidity} {compact(placed.sources).decode()} {compact(placed.uids).decode()}"


async def expunge(ctx: Context, command: Expunge) -> None:
    """Remove what is marked, of all messages or of those whose uids are named (RFC 4315 2.1).

    The store is asked which are: it knows without looking at the others.
    """
    view = _writable(ctx)
    await update(ctx, expunge=True)
    marked = await ctx.store.deleted(ctx.account.id, view.mailbox.id)
    if command.numbers is None:
        chosen = list(marked.values())
    else:
        places = sorted(at for at in map(view.position, marked) if at >= 0)
        chosen = [view.messages[at] for at in view.named(places, command.numbers, uid=True, saved=ctx.saved)]
    if chosen:
        async with ctx.share(len(chosen)):
            await ctx.commit(ctx.store.remove(ctx.account.id, view.mailbox.id, chosen))
        await update(ctx, expunge=True)
    ctx.engine.done(f"HIGHESTMODSEQ {max(1, view.mailbox.modseq)}" if ctx.mode.qresync else "")


def _writable(ctx: Context) -> View:
    view = ctx.opened
    if view.read_only:
        raise RefusedError("The mailbox is open for reading only", "READ-ONLY")
    return view
