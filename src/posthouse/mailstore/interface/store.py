"""All of it: what a store is."""

from typing import Protocol

from posthouse.mailstore.interface.change_feed import ChangeFeed
from posthouse.mailstore.interface.deliveries import Deliveries
from posthouse.mailstore.interface.mailboxes import Mailboxes
from posthouse.mailstore.interface.maintenance import Maintenance
from posthouse.mailstore.interface.messages import MessageReader, MessageWriter


class Mailstore(Deliveries, Mailboxes, MessageReader, MessageWriter, ChangeFeed, Maintenance, Protocol):
    """Each method is atomic, durable when it returns, and safe beside others in this or another process.

    All raise StoreFullError when space ran out and StoreError when the store does not work; then nothing was changed.
    Who needs one part only says so in the annotation.
    """
