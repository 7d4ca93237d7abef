"""The accounts of `posthouse dev --strict`: bob, and alice who is the catch-all; passwords are kept with the data."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.app.data_folder.data_paths import DataPaths

DOMAIN = "example.test"
_NAMES = ("alice", "bob")


@dataclass(frozen=True, slots=True)
class DevAccount:
    """An account that is ready; the password is shown to the user who started the server."""

    address: str
    password: str


def prepare_accounts(paths: DataPaths, password: str | None, new_password: Callable[[], str]) -> list[DevAccount]:
    """Make what is missing, keep what is there: an existing folder keeps its passwords unless `password` is given."""
    known = _remembered(paths)
    with SqliteRegistry(paths.directory, create=False) as registry:
        if DOMAIN not in {domain.name for domain in registry.domains.all()}:
            registry.domains.add(DOMAIN, default=True)
        there = {info.account.address.local for info in registry.accounts.all(DOMAIN)}
        accounts = []
        for name in _NAMES:
            address = f"{name}@{DOMAIN}"
            chosen = password or known.get(address) or new_password()
            if name not in there:
                registry.accounts.add(address, chosen)
            elif chosen != known.get(address):
                registry.accounts.set_password(address, chosen)
            accounts.append(DevAccount(address, chosen))
        if not registry.aliases.all(DOMAIN):
            registry.aliases.add(f"*@{DOMAIN}", f"{_NAMES[0]}@{DOMAIN}")
    if {account.address: account.password for account in accounts} != known:
        _remember(paths, accounts)
    return accounts


def _remembered(paths: DataPaths) -> dict[str, str]:
    try:
        return dict(json.loads(paths.dev.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _remember(paths: DataPaths, accounts: list[DevAccount]) -> None:
    text = json.dumps({account.address: account.password for account in accounts})
    scratch = paths.dev.with_name(f".{paths.dev.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    scratch.rename(paths.dev)  # a full disk leaves the old one
