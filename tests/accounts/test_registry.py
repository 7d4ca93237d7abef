import itertools
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.accounts.errors import (
    AccountsError,
    AliasLoopError,
    AlreadyExistsError,
    BadAddressError,
    BadHashError,
    BadQuotaError,
    DirectoryBusyError,
    DirectoryUnusableError,
    DomainInUseError,
    NoSuchAccountError,
    NoSuchAliasError,
    NoSuchDomainError,
    NoSuchTargetError,
    WeakPasswordError,
)
from posthouse.accounts.names import text_of
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.sqlite import SqliteRegistry
from posthouse.message.address import Address
from tests.accounts.clock import Clock
from tests.accounts.invariants import check_directory


@pytest.fixture
def filled(registry: SqliteRegistry) -> SqliteRegistry:
    """a.test with alice and bob, b.test with carol."""
    registry.domains.add("a.test")
    registry.domains.add("b.test")
    for address in ("alice@a.test", "bob@a.test", "carol@b.test"):
        registry.accounts.add(address, "secret")
    return registry


def addresses(registry: SqliteRegistry, domain: str | None = None) -> list[str]:
    return [text_of(info.account.address) for info in registry.accounts.all(domain)]


def pairs(registry: SqliteRegistry, domain: str | None = None) -> list[tuple[str, str]]:
    return [(text_of(alias.address), text_of(alias.target)) for alias in registry.aliases.all(domain)]


# Domains


def test_domains_are_listed_oldest_first(registry: SqliteRegistry) -> None:
    registry.domains.add("Z.test")
    made = registry.domains.add("xn--mnchen-3ya.example", default=True)
    assert made == registry.domains.all()[1]
    assert [(domain.name, domain.is_default) for domain in registry.domains.all()] == [
        ("z.test", False),
        ("münchen.example", True),
    ]


def test_a_domain_is_there_once_in_all_its_forms(registry: SqliteRegistry) -> None:
    registry.domains.add("münchen.example")
    with pytest.raises(AlreadyExistsError, match=r"münchen\.example"):
        registry.domains.add("XN--MNCHEN-3YA.example")


@pytest.mark.parametrize("name", ["", "a b", "[127.0.0.1]", "a..b", "x@a.test", "a\0.test", "-x.test"])
def test_what_is_no_domain_is_refused(registry: SqliteRegistry, name: str) -> None:
    with pytest.raises(BadAddressError):
        registry.domains.add(name)
    assert registry.domains.all() == []


def test_one_domain_is_the_default_at_most(registry: SqliteRegistry) -> None:
    registry.domains.add("a.test", default=True)
    registry.domains.add("b.test", default=True)
    assert [domain.is_default for domain in registry.domains.all()] == [False, True]
    registry.domains.set("a.test", default=True)
    assert [domain.is_default for domain in registry.domains.all()] == [True, False]
    registry.domains.set("a.test", default=False)
    assert [domain.is_default for domain in registry.domains.all()] == [False, False]


def test_a_postmaster_is_an_account_of_any_domain(filled: SqliteRegistry) -> None:
    carol = filled.accounts.get("carol@b.test").id
    assert filled.domains.set("a.test", postmaster="Carol@b.test").postmaster == carol
    assert filled.domains.set("a.test", postmaster="").postmaster is None
    with pytest.raises(NoSuchAccountError):
        filled.domains.set("a.test", postmaster="nobody@b.test")
    filled.domains.add("c.test", postmaster="carol@b.test")
    with pytest.raises(NoSuchAccountError):
        filled.domains.add("d.test", postmaster="nobody@a.test")
    assert [domain.name for domain in filled.domains.all()] == ["a.test", "b.test", "c.test"]
    filled.accounts.remove("carol@b.test")
    assert [domain.postmaster for domain in filled.domains.all()] == [None, None, None]


def test_a_domain_with_accounts_stays_unless_forced(filled: SqliteRegistry) -> None:
    filled.aliases.add("info@b.test", "alice@a.test")
    filled.aliases.add("x@a.test", "info@b.test")
    with pytest.raises(DomainInUseError, match="still has 1 accounts"):
        filled.domains.remove("b.test")
    removed = filled.domains.remove("B.TEST", force=True)
    assert [text_of(account.address) for account in removed] == ["carol@b.test"]
    assert addresses(filled) == ["alice@a.test", "bob@a.test"]
    assert pairs(filled) == []
    assert filled.accounts.removed() == removed


def test_a_domain_without_accounts_goes_with_its_aliases(filled: SqliteRegistry) -> None:
    filled.domains.add("c.test")
    filled.aliases.add("*@c.test", "alice@a.test")
    assert filled.domains.remove("c.test") == []
    assert pairs(filled) == []


def test_a_domain_may_repeat_another(filled: SqliteRegistry) -> None:
    assert filled.domains.add("old.test", alias_of="a.test").alias_of == "a.test"
    for change in (
        lambda: filled.accounts.add("x@old.test", "secret"),
        lambda: filled.aliases.add("x@old.test", "alice@a.test"),
        lambda: filled.domains.set("old.test", default=True),
        lambda: filled.domains.add("older.test", alias_of="old.test"),
        lambda: filled.domains.add("older.test", alias_of="a.test", default=True),
    ):
        with pytest.raises(BadAddressError, match="repeats"):
            change()
    with pytest.raises(NoSuchDomainError):
        filled.domains.add("older.test", alias_of="gone.test")
    for info in filled.accounts.all("a.test"):
        filled.accounts.remove(text_of(info.account.address))
    with pytest.raises(DomainInUseError, match=r"old\.test that repeats it"):
        filled.domains.remove("a.test")
    filled.domains.remove("a.test", force=True)
    assert [domain.name for domain in filled.domains.all()] == ["b.test"]


def test_an_unknown_domain_comes_with_the_nearest(filled: SqliteRegistry) -> None:
    filled.domains.add("example.org")
    for change in (
        lambda: filled.domains.remove("exmaple.org"),
        lambda: filled.accounts.add("x@exmaple.org", "secret"),
        lambda: filled.aliases.add("x@exmaple.org", "alice@a.test"),
        lambda: filled.accounts.all("exmaple.org"),
    ):
        with pytest.raises(NoSuchDomainError, match=r"did you mean example.org\?"):
            change()


# Accounts


def test_accounts_are_listed_with_what_they_have(filled: SqliteRegistry, clock: Clock) -> None:
    made = filled.accounts.add("Dora@a.test", None, quota=5)
    listed = filled.accounts.all("a.test")
    assert [text_of(info.account.address) for info in listed] == ["alice@a.test", "bob@a.test", "Dora@a.test"]
    assert listed[2].account == made == filled.accounts.get("dora@A.test")
    assert (listed[2].scheme, listed[2].scram, listed[2].account.quota) == ("", False, 5)
    assert (listed[0].scheme, listed[0].scram, listed[0].created) == ("ARGON2ID", True, int(clock.now))


def test_ids_are_62_bits_and_never_given_twice(path: Path, hasher: PasswordHasher) -> None:
    numbers = itertools.chain([0, 7, 7, 7, 8, 7, 8, 9], itertools.repeat(10))
    with SqliteRegistry(path, hasher=hasher, new_id=lambda: next(numbers)) as registry:
        registry.domains.add("a.test")
        assert registry.accounts.add("x@a.test", None).id == 7
        assert registry.accounts.add("y@a.test", None).id == 8
        registry.accounts.remove("x@a.test")
        registry.accounts.purge_done(7)
        assert registry.accounts.add("x@a.test", None).id == 9
    check_directory(path)
    with SqliteRegistry(path) as registry:
        assert 2**40 < registry.accounts.add("z@a.test", None).id < 2**62


def test_a_name_is_taken_in_any_case_and_form(filled: SqliteRegistry) -> None:
    filled.accounts.add("josé@a.test", None)
    filled.aliases.add("info@a.test", "alice@a.test")
    for address in ("ALICE@a.test", "Jose\u0301@a.test", "INFO@a.test"):
        with pytest.raises(AlreadyExistsError):
            filled.accounts.add(address, None)
    with pytest.raises(AlreadyExistsError, match="is an account"):
        filled.aliases.add("Alice@a.test", "bob@a.test")


def test_odd_but_allowed_names_are_kept_as_they_are(filled: SqliteRegistry) -> None:
    for local in ("../../etc/passwd", "a'; DROP TABLE accounts; --", "%s%n", "a b", "C:\\x", "почта"):
        made = filled.accounts.add(f'"{local}"@a.test' if "\\" not in local else f"{local}@a.test", None)
        assert made.address == Address(local, "a.test")
        assert filled.accounts.get(f"{local}@a.test") == made


def test_what_cannot_be_an_account(filled: SqliteRegistry) -> None:
    with pytest.raises(BadAddressError, match="catch-all"):
        filled.accounts.add("*@a.test", "secret")
    with pytest.raises(BadAddressError, match="invisible"):
        filled.accounts.add("a\tb@a.test", "secret")
    with pytest.raises(WeakPasswordError):
        filled.accounts.add("x@a.test", "")
    for quota in (-1, 1 << 61):
        with pytest.raises(BadQuotaError):
            filled.accounts.add("x@a.test", None, quota=quota)
        with pytest.raises(BadQuotaError):
            filled.accounts.set_quota("alice@a.test", quota)
    assert len(addresses(filled)) == 3


def test_quota_and_password_can_be_changed(filled: SqliteRegistry) -> None:
    filled.accounts.set_quota("ALICE@a.test", 1_000)
    assert filled.accounts.get("alice@a.test").quota == 1_000
    filled.accounts.set_quota("alice@a.test", None)
    assert filled.accounts.get("alice@a.test").quota is None
    filled.accounts.set_hash("alice@a.test", "$6$salt$" + "a" * 86)
    assert (filled.accounts.all()[0].scheme, filled.accounts.all()[0].scram) == ("SHA512-CRYPT", False)
    filled.accounts.set_password("alice@a.test", "new")
    assert (filled.accounts.all()[0].scheme, filled.accounts.all()[0].scram) == ("ARGON2ID", True)
    with pytest.raises(BadHashError):
        filled.accounts.set_hash("alice@a.test", "{MD5}x")
    for change in (
        lambda: filled.accounts.set_quota("alcie@a.test", None),
        lambda: filled.accounts.set_password("alcie@a.test", "new"),
        lambda: filled.accounts.remove("alcie@a.test"),
    ):
        with pytest.raises(NoSuchAccountError, match=r"did you mean alice@a.test\?"):
            change()


def test_a_removed_account_waits_for_its_purge(filled: SqliteRegistry, clock: Clock) -> None:
    filled.aliases.add("team@a.test", "alice@a.test")
    filled.aliases.add("team@a.test", "bob@a.test")
    alice = filled.accounts.get("alice@a.test")
    gone = filled.accounts.remove("Alice@a.test")
    assert (gone.id, gone.address, gone.removed) == (alice.id, alice.address, int(clock.now))
    assert [text_of(alias.address) for alias in gone.aliases] == ["team@a.test"]
    assert pairs(filled) == [("team@a.test", "bob@a.test")]
    assert [removed.id for removed in filled.accounts.removed()] == [alice.id]
    filled.accounts.purge_done(alice.id)
    filled.accounts.purge_done(alice.id)
    filled.accounts.purge_done(12345)
    assert filled.accounts.removed() == []
    assert filled.accounts.add("alice@a.test", None).id != alice.id


# Aliases


def test_aliases_lead_here_and_elsewhere(filled: SqliteRegistry) -> None:
    filled.aliases.add("Info@a.test", "alice@a.test")
    made = filled.aliases.add("info@a.test", "Someone@Else.example")
    filled.aliases.add("*@b.test", "info+b@a.test")
    assert made.target == Address("Someone", "else.example")
    assert pairs(filled) == [
        ("Info@a.test", "alice@a.test"),
        ("info@a.test", "Someone@else.example"),
        ("*@b.test", "info+b@a.test"),
    ]
    assert pairs(filled, "b.test") == [("*@b.test", "info+b@a.test")]
    with pytest.raises(AlreadyExistsError, match=r"leads to ALICE@a\.test already"):
        filled.aliases.add("info@a.test", "ALICE@A.test")


def test_an_alias_that_leads_nowhere_is_refused(filled: SqliteRegistry) -> None:
    filled.aliases.add("y@a.test", "alice@a.test")
    filled.aliases.add("x@a.test", "y@a.test")
    with pytest.raises(NoSuchTargetError, match=r"nobody@a\.test"):
        filled.aliases.add("z@a.test", "nobody@a.test")
    with pytest.raises(BadAddressError):
        filled.aliases.add("z@a.test", "nobody")
    filled.aliases.remove("y@a.test")
    with pytest.raises(AliasLoopError, match=r"x@a\.test leads back to y@a\.test"):
        filled.aliases.add("y@a.test", "x@a.test")
    with pytest.raises(AliasLoopError):
        filled.aliases.add("z@a.test", "z@a.test")
    assert pairs(filled) == [("x@a.test", "y@a.test")]


def test_aliases_are_removed_whole_or_by_target(filled: SqliteRegistry) -> None:
    for target in ("alice@a.test", "bob@a.test", "x@else.test"):
        filled.aliases.add("team@a.test", target)
    assert len(filled.aliases.remove("TEAM@a.test", "X@else.test")) == 1
    with pytest.raises(NoSuchAliasError):
        filled.aliases.remove("team@a.test", "x@else.test")
    assert len(filled.aliases.remove("team@a.test")) == 2
    filled.aliases.add("team@a.test", "alice@a.test")
    with pytest.raises(NoSuchAliasError, match=r"did you mean team@a.test\?"):
        filled.aliases.remove("taem@a.test")


# Transactions


def test_a_change_that_fails_leaves_nothing(filled: SqliteRegistry) -> None:
    before = pairs(filled), addresses(filled)
    with pytest.raises(NoSuchTargetError):
        filled.aliases.add("z@a.test", "nobody@a.test")
    assert (pairs(filled), addresses(filled)) == before


def test_changes_together_are_kept_or_undone_together(filled: SqliteRegistry) -> None:
    with filled.together():
        filled.accounts.add("x@a.test", None)
        with pytest.raises(AlreadyExistsError):
            filled.accounts.add("x@a.test", None)
        filled.accounts.add("y@a.test", None)
    assert addresses(filled, "a.test") == ["alice@a.test", "bob@a.test", "x@a.test", "y@a.test"]
    with filled.together(keep=False):
        filled.domains.remove("a.test", force=True)
        assert addresses(filled) == ["carol@b.test"]
    with pytest.raises(KeyError), filled.together():
        filled.domains.remove("a.test", force=True)
        raise KeyError
    assert len(addresses(filled)) == 5


ADD = """
import sys
from pathlib import Path
from posthouse.accounts.sqlite import SqliteRegistry
with SqliteRegistry(Path(sys.argv[1])) as registry:
    for number in range(50):
        registry.accounts.add(f"{sys.argv[2]}{number}@a.test", None)
"""


def test_two_programs_change_it_at_once(filled: SqliteRegistry, path: Path) -> None:
    adders = [subprocess.Popen([sys.executable, "-c", ADD, str(path), name]) for name in ("x", "y")]
    for number in range(50):
        filled.accounts.add(f"z{number}@a.test", None)
    assert [adder.wait(60) for adder in adders] == [0, 0]
    assert len(addresses(filled, "a.test")) == 152


def test_a_file_that_is_locked_or_no_directory_is_told(path: Path, filled: SqliteRegistry, tmp_path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    filled._writer.connection.set_busy_timeout(10)
    with pytest.raises(DirectoryBusyError, match="try again"):
        filled.accounts.add("x@a.test", None)
    other.close()
    filled.accounts.add("x@a.test", None)
    (tmp_path / "text.db").write_text("this is no database " * 100)
    for wrong, what in (
        (tmp_path / "text.db", "text.db is no database"),
        (tmp_path / "missing" / "directory.db", "directory.db is gone"),
        (tmp_path, "is no database but a folder"),
    ):
        with pytest.raises(DirectoryUnusableError, match=what):
            SqliteRegistry(wrong)


def test_a_directory_of_a_later_version_is_not_touched(path: Path, filled: SqliteRegistry) -> None:
    filled.close()
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "DELETE")
        connection.pragma("user_version", 99)
    before = path.read_bytes()
    with pytest.raises(DirectoryUnusableError, match=r"newer version of Posthouse \(schema 99, this one knows"):
        SqliteRegistry(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(path.name)] == [path.name]


@pytest.mark.parametrize("together", [False, True])
def test_a_full_disk_leaves_nothing_half_done_and_recovers(filled: SqliteRegistry, together: bool) -> None:
    connection = filled._writer.connection
    connection.pragma("max_page_count", connection.pragma("page_count"))
    before = filled.domains.all(), addresses(filled), pairs(filled)
    with pytest.raises(DirectoryBusyError, match=r"full.*check the disk"), ExitStack() as stack:
        if together:
            stack.enter_context(filled.together())
        for number in range(1_000):
            filled.accounts.add(f"{'x' * 40}{number}@a.test", None)
            if not together:
                before = filled.domains.all(), addresses(filled), pairs(filled)
    assert (filled.domains.all(), addresses(filled), pairs(filled)) == before
    filled.accounts.remove("alice@a.test")
    connection.pragma("max_page_count", 1_000_000)
    filled.accounts.add("alice@a.test", None)


def test_others_cannot_read_the_file(path: Path, filled: SqliteRegistry) -> None:
    for file in path.parent.glob("directory.db*"):
        assert file.stat().st_mode & 0o077 == 0


SAMPLES = ["alice@a.test", "x' OR 1=1 --@a.test", "../../x@a.test", "a\0b@a.test", "*@a.test", "x" * 4_000 + "@a.test"]
ODD = st.one_of(
    st.text(max_size=80),
    st.sampled_from(SAMPLES),
    st.text(max_size=20).map(lambda text: text + "@a.test"),
)


@given(ODD, ODD)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_text_is_taken_or_refused_with_a_sentence(filled: SqliteRegistry, text: str, other: str) -> None:
    for change in (
        lambda: filled.domains.add(text, postmaster=other),
        lambda: filled.accounts.add(text, None),
        lambda: filled.aliases.add(text, other),
        lambda: filled.accounts.set_hash(text, other),
        lambda: filled.accounts.set_quota(other, 3),
        lambda: filled.aliases.remove(text, other),
        lambda: filled.accounts.remove(text),
        lambda: filled.domains.remove(text),
        lambda: filled.domains.set("a.test", postmaster="alice@a.test"),
        lambda: filled.accounts.add("alice@a.test", None),
    ):
        try:
            change()
        except AccountsError as error:
            assert str(error).isprintable()


def test_a_damaged_page_is_told_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "directory.db"
    with SqliteRegistry(path) as registry:
        registry.domains.add("a.test")
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'domains'").get
        size = connection.pragma("page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x5a" * size)
    with pytest.raises(DirectoryUnusableError, match="is damaged"), SqliteRegistry(path) as registry:
        registry.domains.add("b.test")
