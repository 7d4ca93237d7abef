"""What can go wrong with a store, as few types as its users need to tell apart."""


class StoreError(Exception):
    """The store could not do it now; nothing of the request was kept. The caller may try again later."""


class DamagedError(StoreError):
    """The octets of a message are not those that were kept. Trying again is of no use."""


class StoreFullError(StoreError):
    """No space is left on the device (or in the object store): 452, never 250."""


class NoSuchMailboxError(StoreError):
    """There is no mailbox of that name or id (any more)."""


class MailboxExistsError(StoreError):
    """There is a mailbox of that name already."""


class BadNameError(StoreError):
    """No mailbox can have that name; the text says why."""


class OverQuotaError(StoreError):
    """The account would hold more than it may."""


class TooManyKeywordsError(StoreError):
    """A message, or the messages of an account together, would have more keywords than the store keeps."""
