"""SELECT, EXAMINE, CLOSE, UNSELECT; coming back to a mailbox by QRESYNC (RFC 7162 3.2.5)."""

import contextlib
from collections.abc import Iterable, Iterator

from posthouse.mailstore.interface import Flag, NoSuchMailboxError
from posthouse.protocol.imap.answers import mailbox as mailbox_text
from posthouse.protocol.imap.commands import Close, Resync, Select
from posthouse.protocol.imap.sets import compact, holds
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.flags import SYSTEM_FLAGS
from posthouse.sessions.imap.updating import tell_flags
from posthouse.sessions.imap.view import View


async def select(ctx: Context, command: Select) -> None:
    """Open a mailbox. When that fails none is open (RFC 9051 6.3.2)."""
    engine = ctx.engine
    if ctx.view is not None:
        leave(ctx)
        engine.send(b"* OK [CLOSED] The mailbox you had open is closed\r\n")
    try:
        snapshot = await ctx.store.snapshot(ctx.account.id, command.mailbox)
    except NoSuchMailboxError:
        raise RefusedError("There is no such mailbox", "NONEXISTENT") from None
    if command.condstore or command.resync:
        ctx.notice_condstore()
    await ctx.keywords.read()
    view = ctx.view = View(snapshot, read_only=command.read_only)
    engine.select(True)
    engine.send(_greeting(ctx, view))
    if command.resync is not None and command.resync.uidvalidity == view.mailbox.uidvalidity:
        await _catch_up(ctx, view, command.resync)
    how = "EXAMINE" if command.read_only else "SELECT"
    engine.finish("OK", f"{how} completed", "READ-ONLY" if command.read_only else "READ-WRITE")


def _greeting(ctx: Context, view: View) -> bytes:
    mailbox = view.mailbox
    names = [*SYSTEM_FLAGS, *ctx.keywords.names]
    settable = [] if view.read_only else names + (["\\*"] if not ctx.keywords.are_full else [])
    lines = [
        ctx.flags.line(),
        f"* OK [PERMANENTFLAGS ({' '.join(settable)})] Flags that stay\r\n".encode(),
        b"* %d EXISTS\r\n" % len(view),
    ]
    if not ctx.mode.rev2:
        lines.append(b"* 0 RECENT\r\n")
        if mailbox.unseen:
            unseen = view.first_without(Flag.SEEN) + 1
            lines.append(b"* OK [UNSEEN %d] The first one not seen\r\n" % unseen)
    lines += [
        b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % mailbox.uidvalidity,
        b"* OK [UIDNEXT %d] The next UID\r\n" % mailbox.uidnext,
        b"* OK [HIGHESTMODSEQ %d] The last change\r\n" % max(1, mailbox.modseq),
        b"* OK [MAILBOXID (F%d)] The mailbox, whatever its name\r\n" % mailbox.id,
    ]
    if ctx.mode.rev2:  # RFC 9051 6.3.2
        lines.append(b'* LIST () "/" %b\r\n' % mailbox_text(mailbox.name, utf8=ctx.mode.utf8))
    return b"".join(lines)


async def _catch_up(ctx: Context, view: View, resync: Resync) -> None:
    """What happened since the client was last here, among the messages it knew."""
    delta = await ctx.store.since(ctx.account.id, view.mailbox.id, resync.modseq)
    known = resync.known.resolved(0) if resync.known else [(1, view.mailbox.uidnext)]
    matched = _matched(view, resync)
    vanished = [uid for uid in delta.vanished if uid > matched and view.position(uid) < 0 and holds(known, uid)]
    if vanished:
        ctx.engine.send(b"* VANISHED (EARLIER) %b\r\n" % compact(vanished))
    # What was expunged since the mailbox was opened stands in the view still, and may have changed before.
    touched = sorted({row.uid for row in delta.changed}.union(delta.vanished))
    places = [at for at in map(view.position, touched) if at >= 0 and holds(known, view.uids[at])]
    await ctx.flags.learn(view.flags)
    await tell_flags(ctx, view, [at for at in places if view.modseqs[at] > resync.modseq], uid=True)


def _matched(view: View, resync: Resync) -> int:
    """The uid up to which the client's numbers are ours, so that it knows of all that vanished (RFC 7162 3.2.5.2)."""
    matched = 0
    if resync.sequence_match is not None:
        numbers, uids = (each.resolved(0) for each in resync.sequence_match)
        for number, uid in zip(_each(numbers), _each(uids), strict=False):
            if number > len(view) or view.uids[number - 1] != uid:
                break
            matched = uid
    return matched


def _each(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    return (number for first, end in ranges for number in range(first, end + 1))


async def close(ctx: Context, command: Close) -> None:
    """Leave the mailbox; CLOSE expunges without EXPUNGE answers (RFC 9051 6.4.1).

    No HIGHESTMODSEQ even to a QRESYNC client: it would never learn of what was expunged (RFC 7162 3.2.8).
    """
    view = ctx.opened
    if command.expunge and not view.read_only:
        with contextlib.suppress(NoSuchMailboxError):  # then they are gone already
            await _expunge_marked(ctx, view)
    leave(ctx)
    ctx.engine.done()


async def _expunge_marked(ctx: Context, view: View) -> None:
    """All that are marked as deleted now, also those that this client does not know of (RFC 9051 6.4.1)."""
    account, mailbox = ctx.account.id, view.mailbox.id
    marked = await ctx.store.deleted(account, mailbox)
    if marked:
        await ctx.commit(ctx.store.remove(account, mailbox, list(marked.values())))


def leave(ctx: Context) -> None:
    """No mailbox is open any more."""
    ctx.view = None
    ctx.saved = []
    ctx.messages.clear()
    ctx.engine.select(False)
