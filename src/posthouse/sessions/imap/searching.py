"""SEARCH, SORT and THREAD: conditions are tried on ever fewer messages, the cheap ones first."""

import asyncio
from collections.abc import Sequence

from posthouse.mailstore.index import SortKeys
from posthouse.mailstore.interface import KEYWORD_SHIFT, Measure
from posthouse.message.text import ThreadRow, thread_ordered_subject, thread_references, thread_text
from posthouse.protocol.imap import search_keys as keys
from posthouse.protocol.imap.commands import Search
from posthouse.protocol.imap.search_keys import Compared, Key, Moment, Returning
from posthouse.protocol.imap.sets import compact, page
from posthouse.sessions.imap.context import FEW, Context
from posthouse.sessions.imap.flags import system_flag
from posthouse.sessions.imap.sorting import ordered
from posthouse.sessions.imap.updating import update
from posthouse.sessions.imap.view import View

_DAY = 86400
_EVER = 1 << 62
_TURN = 0.002  # seconds of work on the keys, before others get their turn
_MEASURES = {Moment.RECEIVED: Measure.RECEIVED, Moment.SAVED: Measure.SAVED}
_Found = Sequence[int]  # positions, ascending


async def search(ctx: Context, command: Search) -> None:
    """Answer SEARCH, SORT or THREAD."""
    view = ctx.opened
    if command.uses_modseq:
        ctx.notice_condstore()
    await ctx.flags.learn(view.flags)
    saving = "save" in command.returning.options
    async with ctx.share_for_answer(len(view)):
        try:
            found = await _Matching(ctx, view).find(command.key, range(len(view)))
        except BaseException:
            if saving:
                ctx.saved = []  # RFC 5182 2.1
            raise
        found = [at for at in found if view.uids[at] not in view.gone]
        if command.thread:
            ctx.engine.send(await _threads(ctx, view, found, command))
        else:
            if command.sort:
                found = await ordered(ctx, view, found, command.sort)
            _answer(ctx, view, found, command)
    await update(ctx, expunge=command.uid)
    # What others have expunged is not found, and the client may not hear of it yet (RFC 5530 3, RFC 9051 7.5.1).
    ctx.engine.done("EXPUNGEISSUED" if view.gone else "")


def _answer(ctx: Context, view: View, found: _Found, command: Search) -> None:
    returning = command.returning
    numbers = [view.uids[at] for at in found] if command.uid else [at + 1 for at in found]
    meant = _meant(found, returning)
    highest = max((view.modseqs[at] for at in meant), default=0) if command.uses_modseq else 0  # RFC 4731 3.2
    if not returning.extended and not (ctx.mode.rev2 and not command.sort):
        word = b"SORT" if command.sort else b"SEARCH"
        modseq = b" (MODSEQ %d)" % highest if highest else b""
        ctx.engine.send(b"* %b%b%b\r\n" % (word, b"".join(b" %d" % number for number in numbers), modseq))
        return
    options = returning.options or frozenset({"all"})
    if "save" in options:
        ctx.saved = [view.uids[at] for at in sorted(meant)]  # RFC 5182 2.4, RFC 9394 3.2
    if options == {"save"}:
        return
    parts = [b'* ESEARCH (TAG "%b")' % ctx.engine.tag]
    if command.uid:
        parts.append(b"UID")
    parts += _results(numbers, options, returning)
    if highest:
        parts.append(b"MODSEQ %d" % highest)  # RFC 7162 3.1.10
    ctx.engine.send(b" ".join(parts) + b"\r\n")


def _results(numbers: Sequence[int], options: frozenset[str], returning: Returning) -> list[bytes]:
    """What RETURN asked for (RFC 4731 3.1). MIN and MAX of SORT are the first and the last (RFC 5267 3.2)."""
    parts = []
    if numbers and "min" in options:
        parts.append(b"MIN %d" % numbers[0])
    if numbers and "max" in options:
        parts.append(b"MAX %d" % numbers[-1])
    if numbers and "all" in options:
        parts.append(b"ALL " + compact(numbers))
    if "count" in options:
        parts.append(b"COUNT %d" % len(numbers))
    if returning.partial is not None:
        there = page(numbers, returning.partial)
        parts.append(b"PARTIAL (%d:%d %b)" % (*returning.partial, compact(there) if there else b"NIL"))
    return parts


def _meant(found: _Found, returning: Returning) -> _Found:
    """Those that MIN, MAX and PARTIAL name, unless all are asked for, or counted."""
    options = returning.options
    if options & {"all", "count"} or not options & {"min", "max", "partial"}:
        return found
    chosen = set(page(found, returning.partial)) if returning.partial is not None else set()
    if found and "min" in options:
        chosen.add(found[0])
    if found and "max" in options:
        chosen.add(found[-1])
    return sorted(chosen)


async def _threads(ctx: Context, view: View, found: _Found, command: Search) -> bytes:
    messages = [view.messages[at] for at in found]
    known = await ctx.index.sort_keys(ctx.account.id, view.mailbox.id, messages)
    if len(found) < FEW:
        text = _threaded(view, found, known, command)
    else:
        text = await asyncio.to_thread(_threaded, view, found, known, command)
    return b"* THREAD %b\r\n" % text if text else b"* THREAD\r\n"


def _threaded(view: View, found: _Found, known: dict[int, SortKeys], command: Search) -> bytes:
    rows = []
    for at in found:
        key = known.get(view.messages[at])
        if key is not None:
            number = view.uids[at] if command.uid else at + 1
            rows.append(ThreadRow(number, key.sent, key.base_subject, key.is_reply, key.message_id, key.references))
    return thread_text(thread_references(rows) if command.thread == "REFERENCES" else thread_ordered_subject(rows))


class _Matching:
    """Finds the positions, among some, of messages that a key is true of."""

    def __init__(self, ctx: Context, view: View) -> None:
        self._ctx = ctx
        self._view = view
        self._saved: frozenset[int] | None = None
        self._now = int(ctx.dependencies.clock())
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    async def find(self, key: Key, among: _Found) -> _Found:
        """Ascending, as `among` is."""
        if not among:
            return among
        if self._loop.time() - self._began > _TURN:  # a line has room for thousands of keys
            await asyncio.sleep(0)
            self._began = self._loop.time()
        match key:
            case keys.Everything():
                return among
            case keys.Every():
                for each in sorted(key.keys, key=_cost):
                    among = await self.find(each, among)
                return among
            case keys.Not():
                out = set(await self.find(key.key, among))
                return [at for at in among if at not in out]
            case keys.Either():
                one = set(await self.find(key.one, among))
                rest = [at for at in among if at not in one]
                one.update(await self.find(key.other, rest))
                return [at for at in among if at in one]
            case keys.Contains():
                return self._those(among, await self._containing(key, among))
            case keys.Dated() | keys.Sized() | keys.Aged() | keys.Email():
                return self._those(among, await self._measured(key, among))
            case _:
                return self._seen_in_view(key, among)

    def _those(self, among: _Found, messages: set[int]) -> _Found:
        ids = self._view.messages
        return [at for at in among if ids[at] in messages]

    def _seen_in_view(self, key: Key, among: _Found) -> _Found:
        view = self._view
        match key:
            case keys.Flagged():
                return self._flagged(key, among)
            case keys.InSet():
                # Numbers beyond the last message match none. RFC 9051 9 would have BAD, which clients take for the end.
                if isinstance(among, range) and len(among) == len(view):
                    return view.positions(key.numbers, uid=key.uid, saved=self._ctx.saved)
                if key.numbers.saved:
                    saved = self._saved = self._saved or frozenset(self._ctx.saved)
                    return [at for at in among if view.uids[at] in saved]
                return view.named(among, key.numbers, uid=key.uid)
            case keys.Modified():
                return [at for at in among if view.modseqs[at] >= key.modseq]
            case _:
                return ()  # Recent: no message ever is

    def _flagged(self, key: keys.Flagged, among: _Found) -> _Found:
        flags, wanted, system = self._view.flags, key.wanted, system_flag(key.flag)
        if system is not None:
            bit = system.value
            return [at for at in among if bool(flags[at] & bit) is wanted]
        sets = self._ctx.keywords.holding(key.flag)
        if not sets:
            return () if wanted else among
        return [at for at in among if (flags[at] >> KEYWORD_SHIFT in sets) is wanted]

    async def _containing(self, key: keys.Contains, among: _Found) -> set[int]:
        messages = [self._view.messages[at] for at in among]
        return await self._ctx.index.contains(
            self._ctx.account.id, self._view.mailbox.id, messages, key.field, key.needle
        )

    async def _measured(self, key: Key, among: _Found) -> set[int]:
        """By what is in columns of the store or the index."""
        account, mailbox = self._ctx.account.id, self._view.mailbox.id
        store = self._ctx.store
        match key:
            case keys.Sized():
                low, high = (key.octets + 1, _EVER) if key.compared is Compared.ABOVE else (0, key.octets - 1)
                return await store.measured(account, mailbox, Measure.OCTETS, low, high)
            case keys.Aged():  # RFC 5032 3
                edge = self._now - key.seconds
                low, high = (edge, _EVER) if key.younger else (0, edge)
                return await store.measured(account, mailbox, Measure.RECEIVED, low, high)
            case keys.Dated(moment=Moment.SENT):
                return await self._sent(key, among)
            case keys.Dated():
                low, high = _days(key)
                return await store.measured(
                    account, mailbox, _MEASURES[key.moment], low * _DAY, min(_EVER, (high + 1) * _DAY - 1)
                )
            case keys.Email():
                if key.thread or not (key.ident.startswith("M") and key.ident[1:].isdecimal()):
                    return set()
                number = min(int(key.ident[1:]), _EVER)
                return await store.measured(account, mailbox, Measure.ORIGIN, number, number)
            case _:
                return set()

    async def _sent(self, key: keys.Dated, among: _Found) -> set[int]:
        messages = [self._view.messages[at] for at in among]
        days = await self._ctx.index.sent_days(self._ctx.account.id, self._view.mailbox.id, messages)
        low, high = _days(key)
        return {message for message, day in days.items() if low <= day <= high}


def _days(key: keys.Dated) -> tuple[int, int]:
    if key.compared is Compared.BELOW:
        return -(1 << 40), key.day - 1
    return key.day, key.day if key.compared is Compared.EQUAL else 1 << 40


def _cost(key: Key) -> int:
    match key:
        case keys.Contains():
            return 3
        case keys.Dated() | keys.Sized() | keys.Aged() | keys.Email():
            return 1
        case keys.Not():
            return _cost(key.key)
        case keys.Every():
            return max(map(_cost, key.keys), default=0)
        case keys.Either():
            return max(_cost(key.one), _cost(key.other))
        case _:
            return 0
