"""The mailstore in neutral words: accounts hold mailboxes, mailboxes hold messages, messages share bodies.

POP3, IMAP, JMAP and webmail are faces of this one interface; none of their syntax may appear here.
Every store passes tests/conformance.

A message is named by its id (`message`), unique in its account for ever; its uid counts in one mailbox. A mailbox is
named by its name (`name`) where it may not be there, and by its id (`mailbox`) where a session has it open.
"""

from posthouse.mailstore.interface.change_feed import ChangeFeed
from posthouse.mailstore.interface.deliveries import Deliveries, TransactionHook
from posthouse.mailstore.interface.errors import (
    BadNameError,
    DamagedError,
    MailboxExistsError,
    NoSuchMailboxError,
    OverQuotaError,
    StoreError,
    StoreFullError,
    TooManyKeywordsError,
)
from posthouse.mailstore.interface.mailboxes import Mailboxes
from posthouse.mailstore.interface.maintenance import Maintenance
from posthouse.mailstore.interface.messages import MessageReader, MessageWriter
from posthouse.mailstore.interface.store import Mailstore
from posthouse.mailstore.interface.values import (
    INBOX,
    KEYWORD_SETS_PAGE,
    KEYWORD_SHIFT,
    LOG_ROWS,
    MAX_KEYWORD_SETS,
    MAX_KEYWORDS,
    MAX_MESSAGE_KEYWORDS,
    SYSTEM_FLAGS,
    Appending,
    Body,
    Change,
    DeliveryReceipt,
    DeliveryResult,
    Delta,
    Flag,
    Mailbox,
    MailboxMessage,
    MaildropColumns,
    Marked,
    Marks,
    Measure,
    MessageColumns,
    MessageRef,
    Placed,
    Role,
    Setting,
    Snapshot,
    Target,
    Traits,
    Usage,
)

__all__ = [
    "INBOX",
    "KEYWORD_SETS_PAGE",
    "KEYWORD_SHIFT",
    "LOG_ROWS",
    "MAX_KEYWORDS",
    "MAX_KEYWORD_SETS",
    "MAX_MESSAGE_KEYWORDS",
    "SYSTEM_FLAGS",
    "Appending",
    "BadNameError",
    "Body",
    "Change",
    "ChangeFeed",
    "DamagedError",
    "Deliveries",
    "DeliveryReceipt",
    "DeliveryResult",
    "Delta",
    "Flag",
    "Mailbox",
    "MailboxExistsError",
    "MailboxMessage",
    "Mailboxes",
    "MaildropColumns",
    "Mailstore",
    "Maintenance",
    "Marked",
    "Marks",
    "Measure",
    "MessageColumns",
    "MessageReader",
    "MessageRef",
    "MessageWriter",
    "NoSuchMailboxError",
    "OverQuotaError",
    "Placed",
    "Role",
    "Setting",
    "Snapshot",
    "StoreError",
    "StoreFullError",
    "Target",
    "TooManyKeywordsError",
    "Traits",
    "TransactionHook",
    "Usage",
]
