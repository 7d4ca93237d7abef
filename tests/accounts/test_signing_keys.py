from pathlib import Path

import apsw
import pytest

from posthouse.accounts.errors import NoSuchAccountError, NoSuchDomainError
from posthouse.accounts.sqlite import SqliteDirectory, SqliteRegistry
from posthouse.accounts.sqlite.signing_keys import generated
from posthouse.message.signing import SigningKey
from posthouse.policy.dkim.keys import public_record
from tests.accounts.clock import Clock


def selectors(keys: tuple[SigningKey, ...]) -> list[str]:
    return [key.selector for key in keys]


def test_a_new_domain_gets_a_key_of_each_kind(registry: SqliteRegistry, directory: SqliteDirectory) -> None:
    registry.domains.add("a.test")
    assert directory.addresses.signing_keys("a.test") == (
        SigningKey("a.test", "ph2027r", "rsa-sha256", b"a key for rsa-sha256"),
        SigningKey("a.test", "ph2027e", "ed25519-sha256", b"a key for ed25519-sha256"),
    )
    assert registry.domains.ensure_signing_keys("a.test") == directory.addresses.signing_keys("a.test")


def test_keys_are_found_by_every_form_of_the_name(registry: SqliteRegistry, directory: SqliteDirectory) -> None:
    registry.domains.add("münchen.example")
    forms = ("münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example", "XN--mnchen-3ya.example.")
    for keys in map(directory.addresses.signing_keys, forms):
        assert [key.domain for key in keys] == ["xn--mnchen-3ya.example"] * 2
    for name in ("", "b.test", "example", "a" * 4_000, "\udcff.test", "münchen.example\0"):
        assert directory.addresses.signing_keys(name) == ()


def test_an_answer_is_kept_until_something_changes(registry: SqliteRegistry, directory: SqliteDirectory) -> None:
    assert directory.addresses.signing_keys("a.test") == ()
    registry.domains.add("a.test")
    keys = directory.addresses.signing_keys("a.test")
    assert len(keys) == 2
    assert directory.addresses.signing_keys("a.test") is keys
    registry.domains.remove("a.test")
    assert directory.addresses.signing_keys("a.test") == ()


def test_a_domain_that_repeats_another_has_keys_of_its_own(
    registry: SqliteRegistry, directory: SqliteDirectory
) -> None:
    registry.domains.add("a.test")
    registry.domains.add("old.test", alias_of="a.test")
    assert {key.domain for key in directory.addresses.signing_keys("old.test")} == {"old.test"}
    registry.domains.remove("a.test", force=True)
    assert directory.addresses.signing_keys("old.test") == directory.addresses.signing_keys("a.test") == ()


def test_what_is_missing_is_made_under_a_name_that_is_free(registry: SqliteRegistry, path: Path, clock: Clock) -> None:
    registry.domains.add("a.test")
    kept = registry.domains.ensure_signing_keys("a.test")[1]
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM dkim_keys WHERE algorithm = 'rsa-sha256'")
    # Another key holds the name already.
    connection.execute("UPDATE dkim_keys SET selector = 'ph2027r'")
    connection.close()
    clock.now += 10
    keys = registry.domains.ensure_signing_keys("a.test")
    assert selectors(keys) == ["ph2027r", "ph2027r2"]
    assert keys[0].private == kept.private
    assert registry.domains.ensure_signing_keys("a.test") == keys


def test_no_key_is_left_of_a_domain_that_was_not_added(registry: SqliteRegistry, directory: SqliteDirectory) -> None:
    with pytest.raises(NoSuchAccountError):
        registry.domains.add("a.test", postmaster="nobody@a.test")
    assert directory.addresses.signing_keys("a.test") == ()
    with pytest.raises(NoSuchDomainError):
        registry.domains.ensure_signing_keys("a.test")


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
def test_keys_are_fresh_and_fit_to_sign(algorithm: str) -> None:
    keys = [SigningKey("a.test", "s", algorithm, generated(algorithm)) for _ in range(2)]
    assert len({public_record(key) for key in keys}) == 2
