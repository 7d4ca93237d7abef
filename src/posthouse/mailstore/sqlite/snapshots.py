"""Mailboxes read whole, in pieces: between two of them the readers serve others.

A mailbox of up to one page is read in one transaction. The pages of a larger one are of different moments; what
happened since the first was read is asked for at the end, in one transaction, and makes all of it true at that moment:
a message that did not change since then stands in some page, one that did is in the answer.
"""

from array import array
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import apsw

from posthouse.mailstore.columns import columns_of, merge, sort
from posthouse.mailstore.interface import MaildropColumns, Snapshot
from posthouse.mailstore.sqlite import queries, views

_Read = Callable[[Callable[[apsw.Connection], Any]], Awaitable[Any]]


async def read_snapshot(read: _Read, account: int, name: str) -> Snapshot:
    """A mailbox by name, at one moment. Raises NoSuchMailboxError."""
    first: Snapshot = await read(lambda connection: views.begin_snapshot(connection, account, name))
    columns = page = columns_of(first)
    if len(first.uids) < views.PAGE:
        sort(columns)
        return first
    number = first.mailbox.id
    while len(page[0]) == views.PAGE:
        page = await read(partial(views.page, account=account, number=number, after=page[1][-1]))
        for column, more in zip(columns, page, strict=True):
            column.extend(more)
    sort(columns)
    delta = await read(lambda connection: views.since(connection, account, number, first.modseq))
    merge(columns, delta.changed, delta.vanished)
    return Snapshot(delta.mailbox, delta.modseq, *columns)


async def read_maildrop(read: _Read, account: int, name: str) -> MaildropColumns:
    """The columns of a mailbox, with the first of its messages."""
    entries = await read(lambda connection: queries.first_entries(connection, account, name))
    messages = array("Q", [entry.message for entry in entries])
    sizes = array("Q", [entry.sent_octets for entry in entries])
    more = len(entries) == queries.PAGE
    while more:
        page = await read(partial(queries.sizes, account=account, mailbox=name, after=messages[-1]))
        messages.extend(page[0])
        sizes.extend(page[1])
        more = len(page[0]) == queries.SIZES_PAGE
    return MaildropColumns(messages, sizes, entries)
