import hmac
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.accounts.errors import DirectoryBusyError, DirectoryUnusableError
from posthouse.accounts.interface import Account, Directory, Local, Refusal, RefusalKind, Unresolved
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.pool import HashingPool
from posthouse.accounts.sqlite import SqliteDirectory, SqliteRegistry
from posthouse.accounts.sqlite.reader import Answers
from posthouse.accounts.throttle import MemoryThrottleRows, Throttle
from posthouse.message.address import Address
from posthouse.message.credentials import ScramKeys
from tests.accounts.clock import Clock
from tests.accounts.conftest import CHEAP, DirectoryMaker

IP = "192.0.2.1"


@pytest.fixture(autouse=True)
def filled(registry: SqliteRegistry) -> SqliteRegistry:
    """a.test with alice and bob; münchen.example with carol."""
    registry.domains.add("a.test")
    registry.domains.add("münchen.example")
    for address in ("alice@a.test", "bob@a.test", "Carol@münchen.example"):
        registry.accounts.add(address, "secret", quota=5_000)
    return registry


def who(found: Local | Unresolved) -> list[str]:
    assert isinstance(found, Local), found
    return [account.address.local for account in found.accounts]


def test_it_is_a_directory(directory: SqliteDirectory) -> None:
    as_interface: Directory = directory
    assert as_interface.addresses.is_local_domain("a.test")


# Look-ups


def test_addresses_resolve(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    assert directory.addresses.resolve(Address("Alice", "A.test")) == Local((registry.accounts.get("alice@a.test"),))
    for domain in ("münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example"):
        assert who(directory.addresses.resolve(Address("carol+x", domain))) == ["Carol"]
    assert directory.addresses.resolve(Address("nobody", "a.test")) is Unresolved.NO_SUCH_USER
    assert directory.addresses.resolve(Address("alice", "b.test")) is Unresolved.NOT_OUR_DOMAIN
    assert who(directory.addresses.resolve(Address("postmaster", ""))) == ["alice"]


def test_local_domains_are_known_in_every_form(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    registry.domains.add("old.test", alias_of="a.test")
    for domain in ("a.test", "A.TEST", "a.test.", "old.test", "münchen.example", "xn--mnchen-3ya.example"):
        assert directory.addresses.is_local_domain(domain)
        assert directory.addresses.is_local_domain(domain)
    for domain in ("", "b.test", "test", "x.a.test", "[127.0.0.1]", "a" * 4_000, "\udcff.test", "a.test\0"):
        assert not directory.addresses.is_local_domain(domain)


def test_every_change_is_seen_at_the_next_call(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    new = Address("new", "a.test")
    assert directory.addresses.resolve(new) is Unresolved.NO_SUCH_USER
    made = registry.accounts.add("new@a.test", None)
    assert directory.addresses.resolve(new) == Local((made,))
    registry.accounts.set_quota("new@a.test", 1)
    found = directory.addresses.resolve(new)
    assert isinstance(found, Local) and found.accounts[0].quota == 1
    registry.accounts.remove("new@a.test")
    assert directory.addresses.resolve(new) is Unresolved.NO_SUCH_USER
    registry.aliases.add("*@a.test", "bob@a.test")
    assert who(directory.addresses.resolve(new)) == ["bob"]
    registry.aliases.remove("*@a.test")
    assert directory.addresses.resolve(new) is Unresolved.NO_SUCH_USER
    registry.domains.set("a.test", postmaster="bob@a.test")
    assert who(directory.addresses.resolve(Address("postmaster", "a.test"))) == ["bob"]
    registry.domains.remove("a.test", force=True)
    assert directory.addresses.resolve(new) is Unresolved.NOT_OUR_DOMAIN
    assert not directory.addresses.is_local_domain("a.test")


CHANGE = """
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from posthouse.accounts.passwords import HashCost, PasswordHasher
from posthouse.accounts.sqlite import SqliteRegistry
hasher = PasswordHasher(HashCost(memory=8, passes=1, iterations=4096))
with SqliteRegistry(Path(sys.argv[1]), hasher=hasher) as registry:
    for line in sys.stdin:
        name, *parts = line.split()
        getattr(registry.accounts, name)(*parts)
        print("done", flush=True)
"""


@pytest.fixture
def change(path: Path) -> Iterator[Callable[[str], None]]:
    """Changes the accounts in another process; returns when the change is made."""
    command = [sys.executable, "-c", CHANGE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as other:

        def tell(line: str) -> None:
            assert other.stdin is not None and other.stdout is not None
            other.stdin.write(line + "\n")
            assert other.stdout.readline() == "done\n"

        yield tell
    assert other.returncode == 0


async def test_a_change_by_another_process_is_seen_at_the_next_call(
    directory: SqliteDirectory, change: Callable[[str], None]
) -> None:
    assert isinstance(await directory.logins.verify("alice@a.test", "secret", IP), Account)
    for number in range(20):
        name = Address(f"new{number}", "a.test")
        assert directory.addresses.resolve(name) is Unresolved.NO_SUCH_USER
        change(f"add new{number}@a.test pass{number}")
        assert isinstance(directory.addresses.resolve(name), Local)
        assert isinstance(await directory.logins.verify(f"new{number}@a.test", f"pass{number}", IP), Account)
    change("set_password alice@a.test changed")
    assert await directory.logins.verify("alice@a.test", "secret", IP) == Refusal(RefusalKind.WRONG)
    assert isinstance(await directory.logins.verify("alice@a.test", "changed", IP), Account)
    change("remove alice@a.test")
    assert await directory.logins.verify("alice@a.test", "changed", IP) == Refusal(RefusalKind.WRONG)


def test_memory_is_bounded(directory: SqliteDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "MOST", 50)
    for number in range(200):
        directory.addresses.resolve(Address(f"x{number}", "a.test"))
        directory.addresses.is_local_domain(f"x{number}.test")
        directory.logins.throttled(f"x{number}", IP)
        directory.addresses.resolve(Address("x" * 5_000 + str(number), "a.test"))
        directory.logins.throttled("x" * 5_000 + str(number), IP)
    for kept in (directory.addresses._resolved, directory.addresses._domains, directory.logins._login_names):
        assert len(kept) <= 50
        assert all(len(str(key)) < 500 for key in kept)


def test_a_file_that_goes_bad_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = path.with_name("bad.db")
    SqliteRegistry(bad).close()
    directory = SqliteDirectory(bad, Throttle(MemoryThrottleRows(), Clock(0)))
    other = apsw.Connection(str(bad))
    other.execute("DROP TABLE domains")
    for look_up in (directory.addresses.is_local_domain, directory.logins.scram_keys):
        with pytest.raises(DirectoryBusyError, match="cannot be read"):
            look_up("alice")
    assert [(each.levelname, "bad.db cannot be read" in each.getMessage()) for each in caplog.records] == [
        ("ERROR", True)  # once a minute: all logins and recipients fail of it
    ]
    other.close()
    directory.close()
    for unusable, what in ((path.parent, "is no database but a folder"), (path.with_name("none.db"), "is gone")):
        with pytest.raises(DirectoryUnusableError, match=what):
            SqliteDirectory(unusable, Throttle(MemoryThrottleRows(), Clock(0)))
    assert not path.with_name("none.db").exists()  # an empty one would refuse all mail


# Logins


async def test_login_names(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    async def login(name: str) -> str:
        found = await directory.logins.verify(name, "secret", IP)
        return found.address.local if isinstance(found, Account) else found.kind.value

    registry.aliases.add("info@a.test", "alice@a.test")
    for name in ("alice@a.test", "ALICE@A.test", '"alice"@a.test', "\uff41lice@a.test", "alice@a.test."):
        assert await login(name) == "alice"
    for name in ("carol@münchen.example", "CAROL@XN--MNCHEN-3YA.example"):
        assert await login(name) == "Carol"
    for name in ("alice", "info@a.test", "alice+x@a.test", "@a.test", "alice@", "", "alice@a.test\0", "alice@b.test"):
        assert await login(name) == "wrong"
    registry.domains.set("a.test", default=True)
    assert await login("Alice") == "alice"
    registry.domains.set("münchen.example", default=True)
    assert (await login("alice"), await login("carol")) == ("wrong", "Carol")
    registry.domains.set("münchen.example", default=False)
    registry.domains.remove("münchen.example", force=True)
    registry.domains.add("old.test", alias_of="a.test")
    assert await login("alice") == "alice"
    assert await login("alice@old.test") == "wrong"


async def test_an_account_without_a_password_cannot_log_in(
    directory: SqliteDirectory, registry: SqliteRegistry
) -> None:
    registry.accounts.add("new@a.test", None)
    for password in ("", "secret"):
        assert await directory.logins.verify("new@a.test", password, IP) == Refusal(RefusalKind.WRONG)


async def test_the_account_is_the_one_of_now(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    await directory.logins.verify("alice@a.test", "secret", IP)
    registry.accounts.set_quota("alice@a.test", 7)
    found = await directory.logins.verify("alice@a.test", "secret", IP)
    assert isinstance(found, Account) and found.quota == 7


# Hashes from elsewhere


async def test_a_foreign_hash_is_renewed_at_the_next_login(
    open_directory: DirectoryMaker, registry: SqliteRegistry, hasher: PasswordHasher
) -> None:
    registry.accounts.set_hash(
        "alice@a.test",
        "{SHA512-CRYPT}$6$rounds=10000$saltstringsaltst$"
        "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    )
    pool = HashingPool(1)
    directory = open_directory(pool=pool)
    before = directory.logins.scram_keys("alice@a.test")
    assert await directory.logins.verify("alice@a.test", "wrong", IP) == Refusal(RefusalKind.WRONG)
    assert registry.accounts.all()[0].scheme == "SHA512-CRYPT"
    assert isinstance(await directory.logins.verify("alice@a.test", "Hello world!", IP), Account)
    pool.submit(int).result(30)  # its one thread has then done the renewal
    assert (registry.accounts.all()[0].scheme, registry.accounts.all()[0].scram) == ("ARGON2ID", True)
    after = directory.logins.scram_keys("alice@a.test")
    assert after != before and after == ScramKeys.derive("Hello world!", after.salt, CHEAP.iterations)
    # Renewing changed no password: what was remembered still counts, so no thread is needed.
    assert isinstance(await directory.logins.verify("alice@a.test", "Hello world!", IP), Account)


async def test_a_renewal_never_undoes_a_new_password(
    directory: SqliteDirectory, registry: SqliteRegistry, hasher: PasswordHasher
) -> None:
    login = directory.logins._find("alice@a.test").login
    assert login is not None
    registry.accounts.set_password("alice@a.test", "new")
    directory.logins._renew(login, hasher.make("secret"))
    assert await directory.logins.verify("alice@a.test", "secret", IP) == Refusal(RefusalKind.WRONG)
    assert isinstance(await directory.logins.verify("alice@a.test", "new", IP), Account)


async def test_a_renewal_that_cannot_be_written_is_told_and_the_login_holds(
    open_directory: DirectoryMaker, registry: SqliteRegistry, path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    registry.accounts.set_hash("alice@a.test", "$2b$04$" + "X.WfF3HG3aISfb/NWK.wn.6.fAkBwUuFXwN.s5XNhWst8j7.ASb7y")
    pool = HashingPool(1)
    directory = open_directory(pool=pool)

    def full(path: Path) -> apsw.Connection:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("posthouse.accounts.sqlite.logins.open_directory", full)
    assert isinstance(await directory.logins.verify("alice@a.test", "abc", IP), Account)
    pool.submit(int).result(30)
    assert "not renewed" in caplog.text and "No space left" in caplog.text
    assert registry.accounts.all()[0].scheme == "BLF-CRYPT"


# SCRAM


def test_scram_keys_are_those_of_the_password(directory: SqliteDirectory) -> None:
    keys = directory.logins.scram_keys("ALICE@a.test")
    assert keys == ScramKeys.derive("secret", keys.salt, CHEAP.iterations)


def test_unknown_names_get_steady_keys_that_look_like_others(
    open_directory: DirectoryMaker, registry: SqliteRegistry, path: Path
) -> None:
    registry.accounts.add("without@a.test", None)
    directory, tomorrow = open_directory(), open_directory()
    real = directory.logins.scram_keys("alice@a.test")
    fakes = {}
    for name in ("nobody@a.test", "without@a.test", "nobody@b.test", "nobody", "", "\udcff", "\0", "x" * 4_000):
        fakes[name] = directory.logins.scram_keys(name)
        assert tomorrow.logins.scram_keys(name) == fakes[name]
        assert [len(part) for part in (fakes[name].salt, fakes[name].stored_key, fakes[name].server_key)] == [
            len(real.salt), len(real.stored_key), len(real.server_key)
        ]  # fmt: skip
        assert fakes[name].iterations == real.iterations
    assert len({keys.salt for keys in fakes.values()}) == len(fakes)
    assert directory.logins.scram_keys("NOBODY@A.test") == fakes["nobody@a.test"]
    with SqliteRegistry(path.with_name("another.db")) as other:
        other.domains.add("a.test")
    other_directory = SqliteDirectory(path.with_name("another.db"), Throttle(MemoryThrottleRows(), Clock(0)))
    assert other_directory.logins.scram_keys("nobody@a.test").salt != fakes["nobody@a.test"].salt
    other_directory.close()


def test_scram_logins_are_throttled_with_the_others(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    alice = registry.accounts.get("alice@a.test")
    keys = directory.logins.scram_keys("alice@a.test")
    for _ in range(5):
        assert directory.logins.throttled("alice@a.test", IP) == 0
        assert directory.logins.refuse_proof("ALICE@a.test", IP) == Refusal(RefusalKind.WRONG)
    assert directory.logins.throttled("alice@a.test", IP) == 2
    # A right proof and a wrong one are answered alike, and a wrong one counts no more.
    for _ in range(3):
        assert directory.logins.admit("alice@a.test", IP, keys) == Refusal(RefusalKind.THROTTLED, 2)
        assert directory.logins.refuse_proof("alice@a.test", IP) == Refusal(RefusalKind.THROTTLED, 2)
    assert directory.logins.throttled("alice@a.test", IP) == 2
    assert directory.logins.admit("alice@a.test", "198.51.100.7", keys) == alice


def test_keys_of_before_prove_nothing(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    """An exchange that began before the password changed, or before the account was made anew."""
    keys = directory.logins.scram_keys("alice@a.test")
    registry.accounts.set_password("alice@a.test", "another one")
    assert directory.logins.admit("alice@a.test", IP, keys) == Refusal(RefusalKind.WRONG)
    keys = directory.logins.scram_keys("alice@a.test")
    assert isinstance(directory.logins.admit("alice@a.test", IP, keys), Account)
    registry.accounts.remove("alice@a.test")
    registry.accounts.add("alice@a.test", "another one")
    assert directory.logins.admit("alice@a.test", IP, keys) == Refusal(RefusalKind.WRONG)


def test_keys_of_an_unknown_name_admit_nobody(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    keys = directory.logins.scram_keys("nobody@a.test")
    registry.accounts.add("nobody@a.test", "secret word")
    assert directory.logins.admit("nobody@a.test", IP, keys) == Refusal(RefusalKind.WRONG)


def test_the_first_step_does_the_same_for_everybody(
    directory: SqliteDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes time is done for unknown names, for known ones, and for those that were asked for a moment ago."""
    done: list[str] = []
    digest, look_up = hmac.digest, directory._reader.look_up

    def counted_digest(key: bytes, message: bytes, kind: str) -> bytes:
        done.append("digest")
        return digest(key, message, kind)

    def counted_look_up(what: Callable[[], object]) -> object:
        done.append("look-up")
        return look_up(what)

    directory.addresses.own_domain()
    monkeypatch.setattr(hmac, "digest", counted_digest)
    monkeypatch.setattr(directory._reader, "look_up", counted_look_up)
    for login in ("nobody@a.test", "alice@a.test", "alice@a.test", "nobody@a.test"):
        done.clear()
        assert directory.logins.throttled(login, IP) == 0
        assert directory.logins.held_back(login, IP) == 0
        directory.logins.scram_keys(login)
        assert done == ["look-up", "digest", "digest", "digest"]


def test_a_name_gone_meanwhile_is_not_admitted(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    keys = directory.logins.scram_keys("alice@a.test")
    registry.accounts.remove("alice@a.test")
    assert directory.logins.admit("alice@a.test", IP, keys) == Refusal(RefusalKind.WRONG)


# Odd input

ODD = st.one_of(
    st.text(max_size=60),
    st.text(max_size=20).map(lambda text: text + "@a.test"),
    st.sampled_from(
        ["' OR 1=1 --", "../../etc/passwd", "a\0b@a.test", "\udcff@\udcff", "alice@a.test", "@" * 4_000, "%" * 4_000]
    ),
    st.integers(300, 4_000).map(lambda length: "ü" * length),
)


@given(ODD, ODD, st.sampled_from(["", IP, "::1", "nonsense", "fe80::1%eth0"]))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_text_has_an_answer(directory: SqliteDirectory, text: str, other: str, ip: str) -> None:
    assert isinstance(directory.addresses.resolve(Address(text, other)), Local | Unresolved)
    assert isinstance(directory.addresses.resolve(Address(text, "a.test")), Local | Unresolved)
    assert isinstance(directory.addresses.is_local_domain(text), bool)
    assert isinstance(await directory.logins.verify(text, other, ip), Refusal)
    assert len(directory.logins.scram_keys(text).salt) == 16
    assert directory.logins.throttled(text, ip) >= 0
    assert directory.logins.held_back(text, ip) >= 0
    assert isinstance(directory.logins.refuse_proof(text, ip), Refusal)
