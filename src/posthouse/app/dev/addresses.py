"""The addresses that `posthouse dev` has made mailboxes for, in a file: other commands learn there whose mail that is.

A line of JSON for each: number, local part, domain. Lines are only ever added, and an address may have several.
"""

import contextlib
import json
import os
from pathlib import Path

from posthouse.accounts.interface import Account
from posthouse.message.address import Address

_MOST = 10_000  # addresses that are remembered in memory


class AddressFile:
    """Notes accounts, each once or seldom more often."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted: set[int] = set()

    def note(self, account: Account) -> None:
        """Add an account. What the disk does not take is left out: mail goes on without it."""
        if account.id in self._noted:
            return
        if len(self._noted) == _MOST:
            self._noted.clear()
        self._noted.add(account.id)
        line = json.dumps([account.id, account.address.local, account.address.domain]) + "\n"
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)


def noted_accounts(path: Path) -> list[Account]:
    """All that were noted, by their first spelling; none without a file, and none from a line that is damaged."""
    found: dict[int, Account] = {}
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError):
                number, local, domain = json.loads(line)
                found.setdefault(int(number), Account(int(number), Address(str(local), str(domain)), None))
    return list(found.values())
