"""Where mail goes, by directory.db; see Addresses."""

from posthouse.accounts.interface import Account, Local, Unresolved
from posthouse.accounts.names import domain_key, local_key
from posthouse.accounts.resolve import hosted_domain, resolve
from posthouse.accounts.sqlite import identities
from posthouse.accounts.sqlite.reader import Answers, DirectoryReader
from posthouse.accounts.sqlite.signing_keys import keys_of
from posthouse.message.address import Address
from posthouse.message.signing import SigningKey


class SqliteAddresses:
    """See Addresses. `separator` starts the detail of an address; "" switches details off.

    `hostname` is the server's own name, where postmaster is reached too.
    """

    def __init__(self, reader: DirectoryReader, *, separator: str, hostname: str) -> None:
        self._reader = reader
        self._rows = reader.rows
        self._separator = separator
        self._hostname = domain_key(hostname) or ""
        self._version: object = None
        self._resolved: Answers[Address, Local | Unresolved] = Answers()
        self._domains: Answers[str, bool] = Answers()
        self._signing_keys: Answers[str, tuple[SigningKey, ...]] = Answers()
        self._own_domain: str | None = None

    def resolve(self, address: Address) -> Local | Unresolved:
        """See Addresses."""
        self._refresh()
        found = self._resolved.get(address)
        if found is None:
            found = self._reader.look_up(lambda: resolve(address, self._rows, self._separator, self._hostname))
            self._resolved.keep(address, found, len(address.local) + len(address.domain))
        return found

    def is_local_domain(self, domain: str) -> bool:
        """See Addresses."""
        self._refresh()
        found = self._domains.get(domain)
        if found is None:
            found = self._reader.look_up(lambda: hosted_domain(domain, self._rows) is not None)
            self._domains.keep(domain, found, len(domain))
        return found

    def may_send_as(self, account: Account, address: Address) -> bool:
        """See Addresses."""
        found = self.resolve(address)
        if isinstance(found, Local) and not found.outside and [each.id for each in found.accounts] == [account.id]:
            return True
        domain, local = domain_key(address.domain), local_key(address.local)
        if domain is None or local is None:
            return False
        connection = self._reader.connection
        return self._reader.look_up(lambda: identities.is_granted(connection, account.id, domain, local))

    def own_domain(self) -> str:
        """See Addresses."""
        self._refresh()
        if self._own_domain is None:
            found = self._reader.look_up(lambda: self._rows.default_domain() or self._rows.first_domain())
            self._own_domain = found.name if found is not None else ""
        return self._own_domain

    def srs_secret(self) -> bytes:
        """See Addresses."""
        return self._reader.look_up(lambda: self._rows.secret("srs"))

    def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        """See Addresses."""
        self._refresh()
        found = self._signing_keys.get(domain)
        if found is None:
            key = domain_key(domain)
            connection = self._reader.connection
            found = self._reader.look_up(lambda: keys_of(connection, key)) if key else ()
            self._signing_keys.keep(domain, found, len(domain))
        return found

    def _refresh(self) -> None:
        version = self._reader.version()
        if version != self._version:
            self._resolved.clear()
            self._domains.clear()
            self._signing_keys.clear()
            self._own_domain = None
            self._version = version
