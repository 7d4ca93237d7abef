"""Updates for a client: what happened in its mailbox since the last one (RFC 9051 7.5, RFC 7162 3.2.10)."""

import contextlib
from collections.abc import Sequence

from posthouse.mailstore.interface import Delta, NoSuchMailboxError, StoreError
from posthouse.protocol.imap.sets import compact
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.pieces import in_pieces
from posthouse.sessions.imap.view import View


async def update(ctx: Context, *, expunge: bool, own: int = 0) -> None:
    """Send what is new. Without `expunge` nothing that would change sequence numbers (RFC 9051 7.5.1).

    `own`: the modseq of a change of flags that this session has just made and taken up. When nothing else happened in
    the account, the store need not be asked.

    Where the store cannot be asked the news waits for the next command: what the command did stays done, and its answer
    must not say otherwise.
    """
    view = ctx.view
    if view is None:
        return
    try:
        now = ctx.store.modseq(ctx.account.id)
    except StoreError:
        return
    if now == own == view.modseq + 1:  # modseqs go up by one, so there was no other change
        view.note_change(now)
    if now == view.modseq and not (expunge and view.gone):
        _tell_delay(ctx, view)
        return
    try:
        delta = await ctx.store.since(ctx.account.id, view.mailbox.id, view.modseq)
    except NoSuchMailboxError:
        ctx.engine.bye("The mailbox you had open was removed")
        return
    except StoreError:
        return
    with contextlib.suppress(StoreError):  # keywords without their names are left out
        await ctx.flags.learn(row.flags for row in delta.changed)
    await _apply(ctx, view, delta, expunge=expunge)


async def _apply(ctx: Context, view: View, delta: Delta, *, expunge: bool) -> None:
    """Change the view and report it. Should that fail in between, client and view would not count alike any more."""
    settled, ctx.unsettled = not ctx.unsettled, True
    before = len(view)
    changed_uids: list[int] = []
    async for piece in in_pieces(delta.changed):
        changed_uids += [view.uids[at] for at in view.apply(piece)]
    view.settle(delta)
    grown = len(view) - before
    if expunge:
        tell_expunged(ctx, view)
    if grown:
        ctx.engine.send(b"* %d EXISTS\r\n" % len(view))
        if not ctx.mode.rev2:
            ctx.engine.send(b"* 0 RECENT\r\n")
    await tell_flags(ctx, view, _positions(view, changed_uids))
    if not view.gone:
        view.known_modseq = view.mailbox.modseq
    _tell_delay(ctx, view)
    ctx.unsettled = not settled


def _positions(view: View, uids: Sequence[int]) -> Sequence[int]:
    """Where those of the uids, ascending, stand that are not gone."""
    return view.among(uids) if not view.gone else [at for at in view.among(uids) if view.uids[at] not in view.gone]


def _tell_delay(ctx: Context, view: View) -> None:
    """RFC 7162 3.2: what was sent with a MODSEQ must not make a client believe that it knows of every expunge before.

    Otherwise it would never hear of those that wait, if it came back before we may tell them.
    """
    if view.gone and ctx.mode.qresync:
        ctx.engine.send(b"* OK [HIGHESTMODSEQ %d] Some was expunged since\r\n" % max(1, view.known_modseq))


def tell_expunged(ctx: Context, view: View) -> None:
    """EXPUNGE or VANISHED for what has gone."""
    numbers, uids = view.drop_gone()
    if not uids:
        return
    if ctx.mode.qresync:
        ctx.engine.send(b"* VANISHED %b\r\n" % compact(uids))
    else:
        ctx.engine.send(b"".join([b"* %d EXPUNGE\r\n" % number for number in numbers]))


async def tell_flags(ctx: Context, view: View, positions: Sequence[int], *, uid: bool = False) -> None:
    """FETCH with the flags of messages, and with their modseqs where the client wants them."""
    uid = uid or ctx.mode.condstore or ctx.mode.rev2  # RFC 7162 3.2.4
    async for piece in in_pieces(positions):
        ctx.engine.send(b"".join([_flags_line(ctx, view, at, uid) for at in piece if at >= 0]))


def _flags_line(ctx: Context, view: View, at: int, uid: bool) -> bytes:
    parts = [b"UID %d" % view.uids[at]] if uid else []
    parts.append(b"FLAGS " + ctx.flags.text(view.flags[at]))
    if ctx.mode.condstore:
        parts.append(b"MODSEQ (%d)" % view.modseqs[at])
    return b"* %d FETCH (%b)\r\n" % (at + 1, b" ".join(parts))
