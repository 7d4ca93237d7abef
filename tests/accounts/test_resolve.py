from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.accounts.interface import Account, Local, Unresolved
from posthouse.accounts.names import domain_key, local_key
from posthouse.accounts.resolve import MAX_DEPTH, resolve
from posthouse.accounts.rows import Domain
from posthouse.message.address import Address


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


@dataclass
class DictRows:
    """Rows in dicts."""

    domain_list: list[Domain] = field(default_factory=list)
    account_list: list[Account] = field(default_factory=list)
    alias_map: dict[tuple[str, str], tuple[Address, ...]] = field(default_factory=dict)

    def domain(self, key: str) -> Domain | None:
        return next((domain for domain in self.domain_list if domain.key == key), None)

    def default_domain(self) -> Domain | None:
        return next((domain for domain in self.domain_list if domain.is_default), None)

    def first_domain(self) -> Domain | None:
        return next(iter(self.domain_list), None)

    def account(self, domain: str, local: str) -> Account | None:
        return next((a for a in self.account_list if keys(a.address) == (domain, local)), None)

    def account_by_id(self, account: int) -> Account | None:
        return next((a for a in self.account_list if a.id == account), None)

    def first_account(self, domain: str | None) -> Account | None:
        return next((a for a in self.account_list if domain in (None, domain_key(a.address.domain))), None)

    def targets(self, domain: str, local: str) -> tuple[Address, ...]:
        return self.alias_map.get((domain, local), ())


def keys(found: Address) -> tuple[str | None, str | None]:
    return domain_key(found.domain), local_key(found.local)


def rows(accounts: str, aliases: dict[str, str] | None = None, domains: list[Domain] | None = None) -> DictRows:
    """Accounts "alice bob@b.test", aliases {"info": "alice bob"}; without a domain a.test is meant."""

    def full(text: str) -> Address:
        return address(text if "@" in text else text + "@a.test")

    made = DictRows(domains or [Domain("a.test", "a.test"), Domain("b.test", "b.test")])
    made.account_list = [Account(number, full(text), None) for number, text in enumerate(accounts.split(), 1)]
    for text, targets in (aliases or {}).items():
        key = keys(full(text))
        assert key[0] is not None and key[1] is not None
        made.alias_map[key[0], key[1]] = tuple(full(target) for target in targets.split())
    return made


def names(found: Local | Unresolved) -> list[str]:
    assert isinstance(found, Local), found
    return [account.address.local for account in found.accounts]


def look(text: str, made: DictRows, separator: str = "+") -> Local | Unresolved:
    return resolve(address(text), made, separator)


@pytest.mark.parametrize(
    "text", ["alice@a.test", "ALICE@a.test", "alice@A.TEST", "alice+lists@a.test", "Alice+a+b@a.test"]
)
def test_an_account_answers_to_its_name_in_any_case_and_with_a_detail(text: str) -> None:
    assert names(look(text, rows("alice bob"))) == ["alice"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("carol@a.test", Unresolved.NO_SUCH_USER),
        ("carol+x@a.test", Unresolved.NO_SUCH_USER),
        ("+x@a.test", Unresolved.NO_SUCH_USER),
        ("alice@b.test", Unresolved.NO_SUCH_USER),
        ("alice@elsewhere.test", Unresolved.NOT_OUR_DOMAIN),
        ("alice@[127.0.0.1]", Unresolved.NOT_OUR_DOMAIN),
        ("alice@[IPv6:::1]", Unresolved.NOT_OUR_DOMAIN),
        ("alice@", Unresolved.NOT_OUR_DOMAIN),
        ("\udcff@a.test", Unresolved.NO_SUCH_USER),
    ],
)
def test_what_is_not_here_says_why(text: str, why: Unresolved) -> None:
    assert look(text, rows("alice")) is why


def test_the_exact_name_comes_before_the_detail() -> None:
    made = rows("alice alice+lists bob", {"bob+x": "alice"})
    assert names(look("alice+lists@a.test", made)) == ["alice+lists"]
    assert names(look("bob+x@a.test", made)) == ["alice"]
    assert names(look("bob+y@a.test", made)) == ["bob"]


def test_the_separator_can_be_another_or_none() -> None:
    assert names(look("alice-x@a.test", rows("alice"), "-")) == ["alice"]
    assert look("alice+x@a.test", rows("alice"), "-") is Unresolved.NO_SUCH_USER
    assert look("alice+x@a.test", rows("alice"), "") is Unresolved.NO_SUCH_USER


def test_an_alias_leads_to_all_its_targets_once() -> None:
    made = rows(
        "alice bob", {"all": "alice bob more", "more": "alice x@else.test bob", "team": "all alice x@else.test"}
    )
    found = look("team+detail@a.test", made)
    assert names(found) == ["alice", "bob"]
    assert isinstance(found, Local) and found.outside == (Address("x", "else.test"),)


def test_an_alias_may_lead_only_outside() -> None:
    assert look("x@a.test", rows("", {"x": "y@else.test"})) == Local((), (Address("y", "else.test"),))


def test_a_dangling_target_adds_nothing() -> None:
    assert names(look("x@a.test", rows("alice", {"x": "gone alice"}))) == ["alice"]
    assert look("x@a.test", rows("alice", {"x": "gone"})) is Unresolved.NO_SUCH_USER


def test_loops_are_found_and_do_no_harm_to_other_targets() -> None:
    assert look("x@a.test", rows("", {"x": "y", "y": "z", "z": "x"})) is Unresolved.ALIAS_LOOP
    assert look("x@a.test", rows("", {"x": "x+detail"})) is Unresolved.ALIAS_LOOP
    assert look("x@a.test", rows("", {"*": "nobody"})) is Unresolved.ALIAS_LOOP
    assert names(look("x@a.test", rows("alice", {"x": "y alice", "y": "x"}))) == ["alice"]


def test_chains_are_bounded_in_depth() -> None:
    chain = {f"x{n}": f"x{n + 1}" for n in range(100)} | {"x100": "alice"}
    assert look("x0@a.test", rows("alice", chain)) is Unresolved.ALIAS_LOOP
    assert names(look(f"x{101 - MAX_DEPTH}@a.test", rows("alice", chain))) == ["alice"]


@pytest.mark.parametrize("role", ["postmaster", "Abuse", "POSTMASTER+x"])
def test_postmaster_and_abuse_always_have_a_home(role: str) -> None:
    chosen = [Domain("a.test", "a.test", postmaster=2), Domain("b.test", "b.test")]
    assert names(look(f"{role}@a.test", rows("alice bob", domains=chosen))) == ["bob"]
    assert names(look(f"{role}@a.test", rows("x@b.test alice bob"))) == ["alice"]
    assert names(look(f"{role}@b.test", rows("alice bob"))) == ["alice"]
    assert names(look(f"{role}@a.test", rows("alice bob", {role.partition("+")[0]: "bob"}))) == ["bob"]
    assert names(look(f"{role}@a.test", rows("alice bob", {"*": "bob"}))) == ["alice"]
    assert look(f"{role}@a.test", rows("")) is Unresolved.NO_SUCH_USER
    assert look(f"{role}@else.test", rows("alice")) is Unresolved.NOT_OUR_DOMAIN


def test_postmaster_without_a_domain_is_ours() -> None:
    both = [Domain("a.test", "a.test"), Domain("b.test", "b.test", is_default=True)]
    assert names(resolve(Address("Postmaster", ""), rows("alice x@b.test", domains=both), "+")) == ["x"]
    assert names(resolve(Address("postmaster", ""), rows("alice x@b.test"), "+")) == ["alice"]
    assert resolve(Address("abuse", ""), rows("alice"), "+") is Unresolved.NOT_OUR_DOMAIN
    assert resolve(Address("postmaster", ""), DictRows(), "+") is Unresolved.NOT_OUR_DOMAIN


def test_the_catch_all_comes_last() -> None:
    made = rows("alice bob", {"*": "bob", "info": "alice"})
    assert names(look("whoever+x@a.test", made)) == ["bob"]
    assert names(look("info@a.test", made)) == ["alice"]
    assert names(look("alice+x@a.test", made)) == ["alice"]
    assert look("whoever@b.test", made) is Unresolved.NO_SUCH_USER


def test_a_domain_may_repeat_another() -> None:
    domains = [Domain("a.test", "a.test"), Domain("old.test", "old.test", alias_of="a.test")]
    made = rows("alice bob", {"info": "bob"}, domains)
    assert names(look("alice+x@old.test", made)) == ["alice"]
    assert names(look("info@old.test", made)) == ["bob"]
    assert names(look("postmaster@old.test", made)) == ["alice"]


LOCALS = st.sampled_from(["a", "b", "c", "d", "*", "postmaster", "a+x"])
TARGETS = st.lists(st.sampled_from(["a", "b", "c+y", "d", "e", "out@else.test", "a@b.test"]), min_size=1, max_size=4)


@given(st.dictionaries(LOCALS, TARGETS), st.sets(st.sampled_from(["a", "b", "e"])), LOCALS)
def test_every_web_of_aliases_ends(web: dict[str, list[str]], accounts: set[str], start: str) -> None:
    aliases = {local: " ".join(targets) for local, targets in web.items() if local not in accounts}
    found = look(f"{start}@a.test", rows(" ".join(sorted(accounts)), aliases))
    if isinstance(found, Local):
        assert found.accounts or found.outside
        assert len(set(found.accounts)) == len(found.accounts)


@pytest.mark.parametrize("local", ["postmaster", "Abuse", "postmaster+x"])
def test_postmaster_of_the_servers_own_name(local: str) -> None:
    """RFC 5321 4.5.1: at the name that stands in each Received field, domain or not."""
    found = rows("alice bob", domains=[Domain("b.test", "b.test"), Domain("a.test", "a.test", is_default=True)])
    assert names(resolve(address(f"{local}@mx.own.test"), found, "+", "mx.own.test")) == ["alice"]
    assert names(resolve(address(f"{local}@MX.own.TEST"), found, "+", "mx.own.test")) == ["alice"]
    assert resolve(address(f"{local}@mx.own.test"), found, "+") is Unresolved.NOT_OUR_DOMAIN
    assert resolve(address(f"{local}@own.test"), found, "+", "mx.own.test") is Unresolved.NOT_OUR_DOMAIN


def test_nobody_else_is_at_the_servers_own_name() -> None:
    found = rows("alice", {"*": "alice"})
    for local in ("alice", "root", "postmasters"):
        assert resolve(address(f"{local}@mx.own.test"), found, "+", "mx.own.test") is Unresolved.NOT_OUR_DOMAIN
    assert resolve(address("postmaster@mx.own.test"), rows("", domains=[]), "+", "mx.own.test") in (
        Unresolved.NOT_OUR_DOMAIN,
        Unresolved.NO_SUCH_USER,
    )


def test_an_alias_of_postmaster_holds_at_the_servers_own_name() -> None:
    found = rows("alice bob", {"abuse": "bob"})
    assert names(resolve(address("abuse@mx.own.test"), found, "+", "mx.own.test")) == ["bob"]
    assert names(resolve(address("abuse@a.test"), found, "+", "a.test")) == ["bob"]  # a domain that is the name as well
