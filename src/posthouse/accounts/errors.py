"""What can be wrong with a change to the accounts. Each error's text is one sentence a person can act on."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_COMPARED = 5_000  # names: comparing takes some 20 us each


class AccountsError(Exception):
    """A change that was not made; nothing of it was kept."""


class BadAddressError(AccountsError):
    """The text is no address, or no domain, that this server can hold."""


class AlreadyExistsError(AccountsError):
    """The name is taken."""


class AccountExistsError(AlreadyExistsError):
    """An account has this address already."""


class NoSuchDomainError(AccountsError):
    """The domain is not one of this server's."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = _nearest(name, known) or f"add it with: posthouse domain add {name}"
        super().__init__(f"{name} is not a domain of this server; {hint}")


class NoSuchAccountError(AccountsError):
    """No account has this address."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = _nearest(name, known) or f"add it with: posthouse account add {name}"
        super().__init__(f"there is no account {name}; {hint}")


class NoSuchAliasError(AccountsError):
    """No alias has this address, or it has no such target."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = _nearest(name, known) or "see: posthouse alias list"
        super().__init__(f"there is no alias {name}; {hint}")


class NoSuchTargetError(AccountsError):
    """An alias would lead nowhere."""


class AliasLoopError(AccountsError):
    """An alias would lead back to itself."""


class DomainInUseError(AccountsError):
    """The domain still has accounts."""


class WeakPasswordError(AccountsError):
    """The password is empty."""


class BadPasswordError(AccountsError):
    """The password holds characters that no login can carry, or is too long."""


class BadHashError(AccountsError):
    """The password hash is not one this server can check."""


class BadQuotaError(AccountsError):
    """The quota is not a size."""


class DirectoryBusyError(AccountsError):
    """The directory could not be written now: another change takes long, or the disk is full or read-only."""


class ImportStoppedError(DirectoryBusyError):
    """An import came to its end half-way; what it had added until then stays."""

    def __init__(self, imported: int, reason: AccountsError) -> None:
        super().__init__(f"{reason}; {imported} accounts were added before, import the same file again to go on")
        self.imported = imported


class DirectoryUnusableError(DirectoryBusyError):
    """directory.db is gone, damaged, no database, not ours to read, or from a later version: no use in trying again."""


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(islice(known, _COMPARED))
    found = _nearest_address(name, names) if "@" in name else _close(name, names)
    return f"did you mean {found[0]}?" if found else ""


def _nearest_address(address: str, addresses: Iterable[str]) -> list[str]:
    """The nearest address, if any: both its parts are near. A long domain in common says nothing about the owner."""
    local, _, domain = address.rpartition("@")
    locals_by_domain: dict[str, list[str]] = {}
    for known in addresses:
        known_local, _, known_domain = known.rpartition("@")
        locals_by_domain.setdefault(known_domain, []).append(known_local)
    near = _close(domain, locals_by_domain, 3)
    return [f"{found}@{near_domain}" for near_domain in near for found in _close(local, locals_by_domain[near_domain])]


def _close(name: str, names: Iterable[str], most: int = 1) -> list[str]:
    return get_close_matches(name, list(names), n=most, cutoff=0.7)
