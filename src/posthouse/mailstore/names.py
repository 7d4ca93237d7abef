"""Names of mailboxes: what may be one, and when two are the same."""

import unicodedata

from posthouse.mailstore.interface import INBOX, BadNameError

SEPARATOR = "/"
MAX_OCTETS = 1000  # in UTF-8
MAX_LEVELS = 32


def canonical(name: str) -> str:
    """The form in which names are kept and looked up: Unicode in NFC, INBOX in capitals (RFC 9051 5.1)."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    first, slash, rest = name.partition(SEPARATOR)
    return INBOX + slash + rest if first.upper() == INBOX else name


def checked(name: str) -> str:
    """The canonical form of a name for a new mailbox. Raises BadNameError."""
    name = canonical(name)
    if len(name.encode("utf-8", "replace")) > MAX_OCTETS:
        raise BadNameError(f"a mailbox name may have {MAX_OCTETS} octets")
    levels = name.split(SEPARATOR)
    if len(levels) > MAX_LEVELS:
        raise BadNameError(f"mailboxes may be nested {MAX_LEVELS} deep")
    if not all(levels):
        raise BadNameError("a level of a mailbox name is empty")
    if any(level in (".", "..") for level in levels):
        raise BadNameError("a level of a mailbox name cannot be . or ..")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp", "Cn") for char in name):
        raise BadNameError("a mailbox name cannot hold control characters")  # RFC 9051 5.1, RFC 5198 2
    if any(char in name for char in "%*"):
        raise BadNameError("a mailbox name cannot hold % or *")  # LIST could never name it alone
    return name


def above(name: str) -> list[str]:
    """The names above this one, the highest first."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]


def is_below(name: str, other: str) -> bool:
    """Whether `name` is on a level below `other`."""
    return name.startswith(other + SEPARATOR)
