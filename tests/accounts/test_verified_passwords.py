from dataclasses import replace
from itertools import pairwise

from posthouse.accounts.interface import Account
from posthouse.accounts.login_names import LoginName
from posthouse.accounts.rows import Credential, LoginRow
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from posthouse.message.address import Address
from tests.accounts.clock import Clock


def claim(name: str = "alice@a.test", *, account: int = 1, generation: int = 1, hashed: str = "{X}1") -> LoginName:
    local, domain = name.split("@")
    login = LoginRow(Account(account, Address(local, domain), None), generation, Credential(hashed, None))
    return LoginName(name, login)


def test_a_digest_is_held_for_its_time() -> None:
    clock = Clock(0.0)
    verified = VerifiedPasswordCache(clock, seconds=10)
    fingerprint = verified.fingerprint(claim(), "secret")
    assert not verified.holds(fingerprint)
    verified.add(fingerprint)
    clock.now = 9.9
    assert verified.holds(fingerprint)
    clock.now = 10.0
    assert not verified.holds(fingerprint)
    verified.add(fingerprint)
    assert verified.holds(fingerprint)


def test_no_time_means_never() -> None:
    verified = VerifiedPasswordCache(Clock(0.0), seconds=0)
    verified.add(verified.fingerprint(claim(), "secret"))
    assert verified._until == {}


def test_digests_differ_by_all_that_a_login_is() -> None:
    verified = VerifiedPasswordCache(Clock(0.0))
    alice = claim()
    unknown = LoginName("alice@a.test", None)
    no_password = LoginName("alice@a.test", replace(alice.login, credential=None)) if alice.login else unknown
    digests = [
        verified.fingerprint(alice, "secret"),
        verified.fingerprint(alice, "secret2"),
        verified.fingerprint(claim(account=2), "secret"),  # removed, and made again under the same name
        verified.fingerprint(claim(generation=2), "secret"),
        verified.fingerprint(claim(hashed="{X}2"), "secret"),  # another password in a directory that was restored
        verified.fingerprint(claim(hashed="{X}"), "1secret"),
        verified.fingerprint(claim("alicf@a.test"), "secret"),
        verified.fingerprint(unknown, "secret"),
        verified.fingerprint(LoginName("\udcff@a.test", None), "\0"),
        verified.fingerprint(no_password, "secret"),
        VerifiedPasswordCache(Clock(0.0)).fingerprint(alice, "secret"),  # another key
    ]
    assert len(set(digests)) == len(digests)
    assert verified.fingerprint(alice, "secret") == digests[0]
    assert verified.fingerprint(claim(hashed="{OLD}"), "secret", "{X}1") == digests[0]


def test_their_number_is_bounded_and_the_oldest_goes() -> None:
    verified = VerifiedPasswordCache(Clock(0.0), bound=3)
    digests = [verified.fingerprint(claim(), str(number)) for number in range(4)]
    for digest in digests:
        verified.add(digest)
    assert [verified.holds(digest) for digest in digests] == [False, True, True, True]
    assert all(first != second for first, second in pairwise(digests))
