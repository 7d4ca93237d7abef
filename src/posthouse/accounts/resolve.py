"""Where an address leads. Pure: the look-ups come from outside.

One address is looked up in this order, and the first that is found counts:
  1. the account of that name, then the alias of that name;
  2. both again without the +detail;
  3. postmaster and abuse: the domain's postmaster account, the first account of the domain, the first of all;
  4. the domain's catch-all.
At the server's own name, unless that is a domain, there are postmaster and abuse alone: those of the default domain.
An alias leads on to its targets, each by the same order. A target met again adds nothing, so a list that names itself
is harmless; when nothing but loops is left, the answer is ALIAS_LOOP.
"""

from posthouse.accounts.interface import Account, Local, Unresolved
from posthouse.accounts.names import CATCH_ALL, domain_key, local_key
from posthouse.accounts.rows import Domain, Rows
from posthouse.message.address import Address

MAX_DEPTH = 20  # aliases that lead to aliases
MAX_TARGETS = 10_000  # addresses looked at for one recipient
ROLES = frozenset({"postmaster", "abuse"})  # RFC 5321 4.5.1, RFC 2142 2 and 4


def resolve(address: Address, rows: Rows, separator: str, hostname: str = "") -> Local | Unresolved:
    """Where mail for `address` goes.

    `separator` starts a detail ("+"); "" switches details off. `hostname`: the server's own, in A-labels.
    """
    expansion = _Expansion(rows, separator, hostname)
    if not expansion.expand(address, 0):
        return Unresolved.NOT_OUR_DOMAIN
    if expansion.accounts or expansion.outside:
        return Local(tuple(expansion.accounts.values()), tuple(expansion.outside))
    return Unresolved.ALIAS_LOOP if expansion.looped else Unresolved.NO_SUCH_USER


def hosted_domain(domain: str, rows: Rows) -> Domain | None:
    """The domain whose accounts a domain's addresses name: itself, or the one it repeats."""
    key = domain_key(domain)
    found = rows.domain(key) if key else None
    return rows.domain(found.alias_of) if found is not None and found.alias_of is not None else found


class _Expansion:
    """One walk along the aliases. Dicts keep the order and drop doubles."""

    def __init__(self, rows: Rows, separator: str, hostname: str) -> None:
        self.accounts: dict[int, Account] = {}
        self.outside: dict[Address, None] = {}
        self.looped = False
        self._rows = rows
        self._separator = separator
        self._hostname = hostname
        self._seen: set[tuple[str, str]] = set()
        self._open: set[tuple[str, str]] = set()
        self._left = MAX_TARGETS

    def expand(self, address: Address, depth: int) -> bool:
        """Follow one address; False when its domain is not ours."""
        domain = self._domain(address)
        if domain is None:
            return False
        local = local_key(address.local)
        if local is not None:
            self._expand_local(domain, local, depth)
        return True

    def _domain(self, address: Address) -> Domain | None:
        if address.domain:
            return hosted_domain(address.domain, self._rows) or self._domain_of_server(address)
        # RFC 5321 4.1.1.3: <postmaster> without a domain, in any case, is ours.
        if address.local.lower() != "postmaster":
            return None
        return self._rows.default_domain() or self._rows.first_domain()

    def _domain_of_server(self, address: Address) -> Domain | None:
        """RFC 5321 4.5.1: postmaster is reached at the name that stands in each Received field, domain or not."""
        if not self._hostname or self._base(address.local.lower()) not in ROLES:
            return None
        if domain_key(address.domain) != self._hostname:
            return None
        return self._rows.default_domain() or self._rows.first_domain()

    def _base(self, local: str) -> str:
        """Without the detail."""
        return local.partition(self._separator)[0] if self._separator else local

    def _expand_local(self, domain: Domain, local: str, depth: int) -> None:
        base = self._base(local)
        for name in dict.fromkeys((local, base)):
            if name and self._take(domain, name, depth):
                return
        role = self._role(domain) if base in ROLES else None
        if role is not None:
            self.accounts[role.id] = role
        else:
            self._follow(domain, CATCH_ALL, depth)

    def _take(self, domain: Domain, local: str, depth: int) -> bool:
        account = self._rows.account(domain.key, local)
        if account is None:
            return self._follow(domain, local, depth)
        self.accounts[account.id] = account
        return True

    def _role(self, domain: Domain) -> Account | None:
        chosen = self._rows.account_by_id(domain.postmaster) if domain.postmaster is not None else None
        return chosen or self._rows.first_account(domain.key) or self._rows.first_account(None)

    def _follow(self, domain: Domain, local: str, depth: int) -> bool:
        """Follow an alias to its targets; False when there is no such alias."""
        targets = self._rows.targets(domain.key, local)
        key = (domain.key, local)
        if key in self._seen or (targets and depth >= MAX_DEPTH):
            self.looped = self.looped or key in self._open or depth >= MAX_DEPTH
            return bool(targets)
        self._seen.add(key)
        self._open.add(key)
        for target in targets:
            self._left -= 1
            if self._left >= 0 and not self.expand(target, depth + 1):
                self.outside[target] = None
        self._open.discard(key)
        return bool(targets)
