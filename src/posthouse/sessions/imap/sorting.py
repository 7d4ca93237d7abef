"""The order of SORT (RFC 5256 3, RFC 5957)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from posthouse.mailstore.index import SortKeys
from posthouse.mailstore.interface import MailboxMessage
from posthouse.protocol.imap.search_keys import SortBy
from posthouse.sessions.imap.context import FEW, Context
from posthouse.sessions.imap.view import View

_STEP = 1000
_OF_INDEX: dict[str, Callable[[SortKeys], Any]] = {
    "date": lambda key: key.sent,
    "subject": lambda key: key.base_subject,
    "from": lambda key: key.sort_from,
    "to": lambda key: key.sort_to,
    "cc": lambda key: key.sort_cc,
    "displayfrom": lambda key: key.show_from,
    "displayto": lambda key: key.show_to,
}
_OF_STORE: dict[str, Callable[[MailboxMessage], Any]] = {
    "arrival": lambda item: item.entry.received,
    "size": lambda item: item.entry.octets,
}


async def ordered(ctx: Context, view: View, found: Sequence[int], order: tuple[SortBy, ...]) -> list[int]:
    """The positions by these criteria; what is equal by all of them by sequence number."""
    messages = [view.messages[at] for at in found]
    values: dict[int, SortKeys] | None = None  # None: no criterion asks for them
    items: dict[int, MailboxMessage] | None = None
    if any(by.what in _OF_INDEX for by in order):
        values = await ctx.index.sort_keys(ctx.account.id, view.mailbox.id, messages)
    if any(by.what in _OF_STORE for by in order):
        items = {}
        for start in range(0, len(messages), _STEP):
            part = messages[start : start + _STEP]
            for item in await ctx.store.items(ctx.account.id, view.mailbox.id, part):
                items[item.entry.message] = item
    if len(found) < FEW:
        return _sorted(view, found, order, values, items)
    return await asyncio.to_thread(_sorted, view, found, order, values, items)


def _sorted(
    view: View,
    found: Sequence[int],
    order: tuple[SortBy, ...],
    values: dict[int, SortKeys] | None,
    items: dict[int, MailboxMessage] | None,
) -> list[int]:
    """What others expunged meanwhile has no values any more, and is left out."""
    known = [values, items]
    rows = [at for at in found if all(each is None or view.messages[at] in each for each in known)]
    for by in reversed(order):  # sorting keeps what is equal in order, so the last criterion goes first
        if by.what in _OF_INDEX:
            of_index = _OF_INDEX[by.what]
            assert values is not None
            keys = {at: of_index(values[view.messages[at]]) for at in rows}
        else:
            of_store = _OF_STORE[by.what]
            assert items is not None
            keys = {at: of_store(items[view.messages[at]]) for at in rows}
        rows.sort(key=keys.__getitem__, reverse=by.reverse)
    return rows
