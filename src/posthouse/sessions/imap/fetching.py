"""FETCH: from the view what is in it, from the store and the index what is not."""

import asyncio
import contextlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from posthouse.mailstore.index import MessageSummary
from posthouse.mailstore.interface import (
    DamagedError,
    Flag,
    MailboxMessage,
    Marks,
    NoSuchMailboxError,
    Setting,
    StoreError,
)
from posthouse.net.connection import ConnectionGoneError
from posthouse.protocol.imap.answers import internal_date, text
from posthouse.protocol.imap.commands import Fetch, Section
from posthouse.protocol.imap.sets import compact, holds, page
from posthouse.sessions.imap.content import Long, MessageSections
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.updating import tell_flags, update
from posthouse.sessions.imap.view import View

_STEP = 250  # messages asked of the store at once
_LINES = 500  # answers made in one go, before others get their turn
_FLUSH = 48 << 10  # octets of answers that are let wait
_AT_ONCE = 2 << 20  # octets of messages that the index is asked for, before others get their turn
_HELD = 1 << 20  # octets of parts of one message that are made ready before the first is sent
_NAMED = 20  # uids in the text of an answer
_OF_VIEW = frozenset(("UID", "FLAGS", "MODSEQ", "THREADID", "RFC822.SIZE", "INTERNALDATE"))
_OF_INDEX = frozenset(("ENVELOPE", "BODYSTRUCTURE", "PREVIEW"))


async def fetch(ctx: Context, command: Fetch) -> None:
    """Answer for each message in turn. One that was expunged meanwhile gets none (RFC 2180 4.1.3)."""
    view = ctx.opened
    if "MODSEQ" in command.items:
        ctx.notice_condstore()
    chosen = _chosen(ctx, view, command)
    if command.vanished and command.changed_since is not None:
        await _tell_vanished(ctx, view, command)
    also_flags = await _mark_seen(ctx, view, chosen, command.sections)
    refused: list[tuple[int, RefusedError]] = []
    try:
        await ctx.flags.learn(view.flags if len(chosen) > 1 else (view.flags[at] for at in chosen))
        if _OF_VIEW.issuperset(command.items) and not command.sections:
            await _answer_from_view(ctx, view, chosen, command.items)
            complete = True
        else:
            complete = await _answer(ctx, view, chosen, command, also_flags, refused)
    except Exception:
        if not ctx.engine.unfinished:  # the command fails, but these are marked as seen
            await tell_flags(ctx, view, sorted(also_flags), uid=command.uid)
        raise
    if refused:
        untold = {at: also_flags[at] for at, _ in refused if at in also_flags}
        await _unmark_seen(ctx, view, untold, uid=command.uid)
    await update(ctx, expunge=command.uid)
    if refused:
        raise _left_out(view, refused)
    ctx.engine.done("" if complete else "EXPUNGEISSUED")


def _left_out(view: View, refused: Sequence[tuple[int, RefusedError]]) -> RefusedError:
    """What the command says at its end of those messages that could not be answered for; all others were."""
    uids = sorted(view.uids[at] for at, _ in refused)
    named = ", ".join(map(str, uids[:_NAMED])) + (" and others" if len(uids) > _NAMED else "")
    first = refused[0][1]
    return RefusedError(f"{first} (UID {named})", first.code)


def _chosen(ctx: Context, view: View, command: Fetch) -> Sequence[int]:
    check_numbers(view, command.numbers.greatest, uid=command.uid)
    chosen = view.positions(command.numbers, uid=command.uid, saved=ctx.saved)
    if command.partial is not None:  # RFC 9394 3.3, 3.4: positions among the uids that were named, changed or not
        chosen = page(chosen, command.partial)
    if command.changed_since is not None:
        chosen = [at for at in chosen if view.modseqs[at] > command.changed_since]
    return chosen


def check_numbers(view: View, greatest: int, *, uid: bool) -> None:
    """A sequence number nobody has is the client's mistake (RFC 9051 9, seq-number)."""
    if not uid and greatest > len(view):
        raise RefusedError(f"There are {len(view)} messages, and no number {greatest}", bad=True)


async def _tell_vanished(ctx: Context, view: View, command: Fetch) -> None:
    """RFC 7162 3.2.6: what was expunged since, among the uids that were named."""
    delta = await ctx.store.since(ctx.account.id, view.mailbox.id, command.changed_since or 0)
    ranges = command.numbers.resolved(max(view.mailbox.uidnext - 1, 1))
    uids = [uid for uid in delta.vanished if view.position(uid) < 0 and holds(ranges, uid)]
    if uids:
        ctx.engine.send(b"* VANISHED (EARLIER) %b\r\n" % compact(uids))


async def _mark_seen(ctx: Context, view: View, chosen: Sequence[int], sections: Iterable[Section]) -> dict[int, int]:
    """Reading a body marks the message as seen (RFC 9051 6.4.5); the positions of those that were not, and their flags
    as the client knows them.
    """
    if view.read_only or all(section.peek for section in sections):
        return {}
    unseen = {at: view.flags[at] for at in chosen if not view.flags[at] & Flag.SEEN.value}
    if not unseen:
        return {}
    messages = [view.messages[at] for at in unseen]
    try:
        marked = await ctx.store.mark(ctx.account.id, view.mailbox.id, messages, Setting.ADD, Marks(Flag.SEEN))
    except StoreError:  # a disk that takes no changes, a mailbox that was just removed: reading works all the same
        return {}
    for row in marked.rows:
        view.note(row)
    return unseen


async def _unmark_seen(ctx: Context, view: View, positions: Mapping[int, int], *, uid: bool) -> None:
    """What could not be shown was not seen. `positions`: with their flags as the client knows them.

    It also sends what others have changed meanwhile: with our own two changes that was taken up, and is no news later.
    """
    if not positions:
        return
    messages = [view.messages[at] for at in positions]
    with contextlib.suppress(StoreError):
        marked = await ctx.store.mark(ctx.account.id, view.mailbox.id, messages, Setting.REMOVE, Marks(Flag.SEEN))
        for row in marked.rows:
            view.note(row)
    await tell_flags(ctx, view, [at for at, flags in positions.items() if view.flags[at] != flags], uid=uid)


async def _answer_from_view(ctx: Context, view: View, chosen: Sequence[int], items: tuple[str, ...]) -> None:
    uids, modseqs, bits, text_of = view.uids, view.modseqs, view.flags, ctx.flags.text
    octets, received = view.octets, view.received
    for start in range(0, len(chosen), _LINES):
        part = chosen[start : start + _LINES]
        if items == ("FLAGS",):
            lines = [b"* %d FETCH (FLAGS %b)\r\n" % (at + 1, text_of(bits[at])) for at in part]
        elif items == ("UID", "FLAGS") or items == ("FLAGS", "UID"):
            lines = [b"* %d FETCH (UID %d FLAGS %b)\r\n" % (at + 1, uids[at], text_of(bits[at])) for at in part]
        else:
            makers: dict[str, Callable[[int], bytes]] = {
                "UID": lambda at: b"UID %d" % uids[at],
                "FLAGS": lambda at: b"FLAGS " + text_of(bits[at]),
                "MODSEQ": lambda at: b"MODSEQ (%d)" % modseqs[at],
                "THREADID": lambda at: b"THREADID NIL",
                "RFC822.SIZE": lambda at: b"RFC822.SIZE %d" % octets[at],
                "INTERNALDATE": lambda at: b"INTERNALDATE " + internal_date(received[at]),
            }
            wanted = [makers[item] for item in items]
            lines = [b"* %d FETCH (%b)\r\n" % (at + 1, b" ".join([make(at) for make in wanted])) for at in part]
        ctx.engine.send(b"".join(lines))
        if len(part) == _LINES:
            await ctx.connection.flush(ctx.engine)
            await asyncio.sleep(0)


async def _answer(
    ctx: Context,
    view: View,
    chosen: Sequence[int],
    command: Fetch,
    also_flags: Container[int],
    refused: list[tuple[int, RefusedError]],
) -> bool:
    """Whether all messages were there. Those of which there is no saying what was asked for are `refused`."""
    complete = True
    waiting = 0
    needs_index = not _OF_INDEX.isdisjoint(command.items)
    envelope_only = _OF_INDEX.intersection(command.items) == {"ENVELOPE"}
    for start in range(0, len(chosen), _STEP):
        part = chosen[start : start + _STEP]
        try:
            items = await ctx.messages.at(view, part)
        except NoSuchMailboxError:
            return False
        complete = complete and len(items) == len(part)
        digests: Sequence[MessageSummary | None] = [None] * len(items)
        if needs_index:
            async with ctx.share(len(chosen)):
                digests = await _digests(ctx, items, envelope_only=envelope_only)
        for item, digest in zip(items, digests, strict=True):
            at = view.position(item.entry.uid)
            try:
                waiting += 200 + await _answer_one(ctx, view, at, item, digest, command, with_flags=at in also_flags)
            except (RefusedError, StoreError) as error:
                refused.append((at, _refusal(ctx, item, error)))
            if waiting > _FLUSH:
                await ctx.connection.flush(ctx.engine)
                waiting = 0
        if start + _STEP < len(chosen):
            await ctx.connection.flush(ctx.engine)
            await asyncio.sleep(0)
            waiting = 0
    return complete


def _refusal(ctx: Context, item: MailboxMessage, error: RefusedError | StoreError) -> RefusedError:
    """Why there is no answer for one message."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, DamagedError):
        # RFC 5530 3: the data is corrupt, and trying again is of no use
        return RefusedError("Damaged on the server's disk", "CORRUPTION")
    ctx.services.log.warning("message not read", connection=ctx.connection.id, uid=item.entry.uid, error=error)
    return RefusedError("Not to be read from the server's disk at the moment", "UNAVAILABLE")


async def _answer_one(
    ctx: Context,
    view: View,
    at: int,
    item: MailboxMessage,
    digest: MessageSummary | None,
    command: Fetch,
    *,
    with_flags: bool,
) -> int:
    """One message; how many octets wait. Raises RefusedError and DamagedError, and has then sent nothing of it."""
    content = MessageSections(ctx.store, item, ctx.trees)
    if digest is not None and digest.is_missing:
        await content.check_whole()  # raises, with the reason why it cannot be shown
        raise StoreError("it could not be read a moment ago")
    words = _words(ctx, view, at, item, digest, command.items)
    if with_flags:
        also = ("FLAGS", "UID", "MODSEQ") if ctx.mode.condstore else ("FLAGS",)  # RFC 7162 3.2.4
        words += _words(ctx, view, at, item, None, [name for name in also if name not in command.items])
    if "BODY" in command.items:
        words.append(b"BODY " + await content.body_without_extensions())
    return await _send(ctx, b"* %d FETCH (%b" % (at + 1, b" ".join(words)), content, command.sections)


async def _digests(ctx: Context, items: Sequence[MailboxMessage], *, envelope_only: bool) -> list[MessageSummary]:
    """What the index shows of messages; of few octets at a time, for headers that nobody would write take long."""
    found: list[MessageSummary] = []
    start = octets = 0
    for end, item in enumerate(items, 1):
        octets += item.entry.octets
        if octets > _AT_ONCE or end == len(items):
            found += await ctx.index.summaries(ctx.account.id, items[start:end], envelope_only=envelope_only)
            start, octets = end, 0
            if end < len(items):
                await asyncio.sleep(0)
    return found


def _words(
    ctx: Context, view: View, at: int, item: MailboxMessage, digest: MessageSummary | None, wanted: Iterable[str]
) -> list[bytes]:
    words = []
    for name in wanted:
        match name:
            case "UID":
                words.append(b"UID %d" % item.entry.uid)
            case "FLAGS":
                words.append(b"FLAGS " + ctx.flags.text(view.flags[at]))
            case "MODSEQ":
                words.append(b"MODSEQ (%d)" % view.modseqs[at])
            case "RFC822.SIZE":
                words.append(b"RFC822.SIZE %d" % item.entry.octets)
            case "INTERNALDATE":
                words.append(b"INTERNALDATE " + internal_date(item.entry.received))
            case "SAVEDATE":
                words.append(b"SAVEDATE " + internal_date(item.saved))
            case "EMAILID":
                words.append(b"EMAILID (M%d)" % item.origin)
            case "THREADID":
                words.append(b"THREADID NIL")
            case "ENVELOPE" if digest is not None:
                words.append(b"ENVELOPE " + digest.envelope)
            case "BODYSTRUCTURE" if digest is not None:
                words.append(b"BODYSTRUCTURE " + digest.structure)
            case "PREVIEW" if digest is not None:
                words.append(b"PREVIEW " + text(digest.preview, utf8=ctx.mode.utf8))
    return words


async def _send(ctx: Context, start: bytes, content: MessageSections, sections: tuple[Section, ...]) -> int:
    """One answer; how many octets of it wait. Nothing is sent before all of it can be, but for what is long."""
    answers = await _prepared(content, sections)
    waiting = [start]
    for section, ready in zip(sections, answers, strict=True):
        waiting.append(section.label if waiting[-1].endswith(b"(") else b" " + section.label)
        answer = ready if ready is not None else await _now(ctx, content, section)
        if isinstance(answer, bytes):
            waiting.append(answer)
            continue
        ctx.engine.send(b"".join((*waiting, answer.start)), unfinished=True)
        waiting.clear()
        await _stream(ctx, answer)
        waiting.append(b"")
    waiting.append(b")\r\n")
    last = b"".join(waiting)
    ctx.engine.send(last)
    return len(last)


async def _prepared(content: MessageSections, sections: tuple[Section, ...]) -> list[bytes | Long | None]:
    """What there is to send; None for what is left for later, as one line can ask for thousands of large parts."""
    answers: list[bytes | Long | None] = []
    held = 0
    for section in sections:
        if held < _HELD:
            answer = await content.section(section)
            held += len(answer) if isinstance(answer, bytes) else answer.octets
            answers.append(answer)
        else:
            await content.check(section)
            answers.append(None)
    return answers


async def _now(ctx: Context, content: MessageSections, section: Section) -> bytes | Long:
    """An answer in the middle of others."""
    try:
        return await content.section(section)
    except (RefusedError, StoreError) as error:
        ctx.connection.abort()  # as in _stream()
        raise ConnectionGoneError from error


async def _stream(ctx: Context, answer: Long) -> None:
    try:
        async for piece in answer.pieces:
            ctx.engine.send(piece, unfinished=True)
            await ctx.connection.flush(ctx.engine)
    except StoreError as error:
        # Half of it is with the client already: only a cut link tells it that the rest will not come.
        ctx.connection.abort()
        raise ConnectionGoneError from error
