"""Aliases in the directory: added, listed, removed."""

import apsw

from posthouse.accounts.errors import AliasLoopError, AlreadyExistsError, NoSuchAliasError, NoSuchTargetError
from posthouse.accounts.interface import Unresolved
from posthouse.accounts.names import domain_key, local_key, parse_address, text_of
from posthouse.accounts.resolve import resolve
from posthouse.accounts.rows import Alias
from posthouse.accounts.sqlite.writer import DirectoryWriter
from posthouse.message.address import Address


class SqliteAliases:
    """See SqliteRegistry. `separator` starts the detail of an address."""

    def __init__(self, writer: DirectoryWriter, separator: str) -> None:
        self._writer = writer
        self._connection = writer.connection
        self._rows = writer.rows
        self._lists = writer.lists
        self._separator = separator

    def add(self, address: str, target: str) -> Alias:
        """Let an address lead to one more target, here or elsewhere. "*@domain" is the domain's catch-all."""
        parsed, aim = parse_address(address), parse_address(target)
        with self._writer.change():
            domain, local = self._writer.place(parsed)
            if self._rows.account(domain.key, local) is not None:
                raise AlreadyExistsError(f"{text_of(parsed)} is an account; an alias needs a name of its own")
            row = (domain.key, local, domain_key(aim.domain), local_key(aim.local), parsed.local, aim.local, aim.domain)
            try:
                self._connection.execute("INSERT INTO aliases VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            except apsw.ConstraintError:
                raise AlreadyExistsError(f"the alias {text_of(parsed)} leads to {text_of(aim)} already") from None
            self._check_target(parsed, aim)
            return Alias(Address(parsed.local, domain.name), aim)

    def all(self, domain: str | None = None) -> list[Alias]:
        """All aliases, or those of one domain, by name; one entry per target."""
        with self._writer.reading():
            return self._lists.aliases(None if domain is None else self._writer.domain(domain).key)

    def remove(self, address: str, target: str | None = None) -> list[Alias]:
        """Remove one target of an alias, or the whole alias; what was removed."""
        parsed = parse_address(address)
        aim = parse_address(target) if target is not None else None
        with self._writer.change():
            domain = self._writer.domain(parsed.domain)
            gone = [alias for alias in self._lists.aliases(domain.key) if _same(alias.address, parsed)]
            if aim is not None:
                gone = [alias for alias in gone if _same(alias.target, aim)]
            if not gone:
                shown = text_of(parsed) + (f" to {text_of(aim)}" if aim is not None else "")
                raise NoSuchAliasError(shown, [text_of(alias.address) for alias in self._lists.aliases(None)])
            for alias in gone:
                self._connection.execute(
                    "DELETE FROM aliases WHERE domain = ? AND local_key = ? AND target_domain = ? AND target_key = ?",
                    (
                        domain.key,
                        local_key(parsed.local),
                        domain_key(alias.target.domain),
                        local_key(alias.target.local),
                    ),
                )
            return gone

    def _check_target(self, address: Address, target: Address) -> None:
        """The alias stands already, so that a loop shows."""
        found = resolve(target, self._rows, self._separator)
        if found is Unresolved.ALIAS_LOOP:
            raise AliasLoopError(f"{text_of(target)} leads back to {text_of(address)}; choose another target")
        if found is Unresolved.NO_SUCH_USER:
            raise NoSuchTargetError(f"nothing here is called {text_of(target)}; add that account or alias first")


def _same(one: Address, other: Address) -> bool:
    return domain_key(one.domain) == domain_key(other.domain) and local_key(one.local) == local_key(other.local)
