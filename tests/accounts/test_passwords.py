import bcrypt
import pytest
from argon2.low_level import Type, hash_secret
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.accounts import sha512crypt
from posthouse.accounts.errors import BadHashError, BadPasswordError, WeakPasswordError
from posthouse.accounts.passwords import HashCost, PasswordHasher, checked_password, looks_hashed, recognised
from posthouse.accounts.rows import Credential
from posthouse.message.credentials import ScramKeys

SECRET = "correct horse"


def argon2(kind: Type, password: bytes = SECRET.encode()) -> str:
    return hash_secret(password, b"saltsalt", 1, 8, 1, 32, kind).decode()


def crypt(password: str = SECRET, rounds: int = 5_000) -> str:
    named = "" if rounds == 5_000 else f"rounds={rounds}$"
    return f"$6${named}salt${sha512crypt.digest(password.encode(), b'salt', rounds)}"


def blowfish(password: bytes = SECRET.encode(), prefix: bytes = b"$2b$") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4)).replace(b"$2b$", prefix).decode()


FOREIGN = [
    ("{ARGON2ID}", argon2(Type.ID)),
    ("", argon2(Type.ID)),
    ("{argon2i}", argon2(Type.I)),
    ("{BLF-CRYPT}", blowfish()),
    ("{BLF-CRYPT}", blowfish(prefix=b"$2a$")),
    ("{CRYPT}", blowfish(prefix=b"$2y$")),
    ("", blowfish()),
    ("{SHA512-CRYPT}", crypt()),
    ("{SHA512-CRYPT}", crypt(rounds=1_500)),
    ("{CRYPT}", crypt()),
]


def test_a_new_password_is_argon2id_with_scram_keys(hasher: PasswordHasher) -> None:
    made = hasher.make(SECRET)
    assert made.hash.startswith("{ARGON2ID}$argon2id$v=19$m=8,t=1,p=1$")
    assert made.scram is not None
    assert made.scram == ScramKeys.derive(SECRET, made.scram.salt, 4096)
    assert hasher.check(made.hash, SECRET)
    assert not hasher.check(made.hash, SECRET + " ")
    assert hasher.make(SECRET) != made


def test_the_usual_cost_is_that_of_the_design() -> None:
    assert HashCost() == HashCost(memory=19 * 1024, passes=2, lanes=1, iterations=50_000)


@pytest.mark.parametrize(("scheme", "rest"), FOREIGN, ids=range(len(FOREIGN)))  # salts differ in each process
def test_foreign_hashes_are_recognised_and_checked(hasher: PasswordHasher, scheme: str, rest: str) -> None:
    stored = recognised(scheme + rest)
    assert looks_hashed(scheme + rest)
    assert stored[0] == "{" and stored.endswith("}" + rest)
    assert hasher.check(stored, SECRET)
    assert not hasher.check(stored, "wrong")
    assert not hasher.check(stored, "")
    assert not hasher.is_current(Credential(stored, None))


@pytest.mark.parametrize(
    "text",
    [
        *("{MD5}abc", "{SSHA}abc", "plain", "", "{}", "{PLAIN}x", "$1$salt$abc", "{CRYPT}abc", "{BLF-CRYPT}" + crypt()),
        *("{ARGON2ID}" + argon2(Type.I), "{ARGON2ID}$argon2id$", argon2(Type.ID) + "xx", argon2(Type.ID)[:-30]),
        *("{SHA512-CRYPT}$6$salt$short", "{SHA512-CRYPT}$6$rounds=1000001$salt$" + "a" * 86),
        *(
            "$argon2id$v=19$m=999999999,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43,
            "$argon2id$v=19$m=8,t=1,p=4$c2FsdHNhbHQ$" + "A" * 43,
        ),
        "$2b$31$" + "a" * 53,
    ],
)
def test_other_hashes_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadHashError, match=r"accepted are|damaged|costs"):
        recognised(text)


def test_an_unknown_scheme_names_those_accepted() -> None:
    with pytest.raises(BadHashError, match=r"'MD5'.*\{ARGON2ID\}.*\{BLF-CRYPT\} and \{SHA512-CRYPT\}"):
        recognised("{MD5}rL0Y20zC+Fzt72VPzMSk2A==")


def test_bcrypt_looks_at_72_octets_and_no_further(hasher: PasswordHasher) -> None:
    stored = recognised(blowfish(b"x" * 72))
    assert hasher.check(stored, "x" * 72)
    assert hasher.check(stored, "x" * 100)
    assert not hasher.check(stored, "x" * 71)


def test_a_hash_of_the_text_as_typed_is_found(hasher: PasswordHasher) -> None:
    typed = "pa\u00adss\u2168"  # SASLprep makes "passIX" of it (RFC 4013 3)
    assert checked_password(typed) == "passIX"
    assert hasher.check(recognised(blowfish(typed.encode())), typed)
    assert hasher.check(hasher.make(typed).hash, "passIX")
    assert hasher.check(hasher.make("passIX").hash, typed)


def test_a_missing_account_and_odd_passwords_are_wrong(hasher: PasswordHasher) -> None:
    stored = hasher.make(SECRET).hash
    for password in (SECRET, "", "x" * 5_000, "\0", "\udcff", "\x07"):
        assert not hasher.check(None, password)
    for password in ("", "x" * 5_000, "\0", "\udcff", "\x07"):
        assert not hasher.check(stored, password)
    assert not hasher.check(recognised(argon2(Type.ID, b"")), "")
    assert not hasher.check(recognised(argon2(Type.ID, b"")), "x" * 5_000)


def test_a_damaged_stored_hash_is_wrong_and_raises_nothing(hasher: PasswordHasher) -> None:
    assert not hasher.check("{SHA512-CRYPT}$6$", SECRET)
    assert not hasher.check("{ARGON2ID}$argon2id$x", SECRET)


@pytest.mark.parametrize(
    ("password", "error"),
    [
        ("", WeakPasswordError),
        ("\u00ad", WeakPasswordError),
        ("a\0b", BadPasswordError),
        ("a\nb", BadPasswordError),
        ("\udcff", BadPasswordError),
        ("x" * 1_025, BadPasswordError),
    ],
)
def test_passwords_that_no_login_could_carry_are_refused(password: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_password(password)


def test_renewal_brings_the_cost_of_today(hasher: PasswordHasher) -> None:
    costlier = PasswordHasher(HashCost(memory=16, passes=1, iterations=4096))
    more_rounds = PasswordHasher(HashCost(memory=8, passes=1, iterations=4097))
    made = hasher.make(SECRET)
    assert hasher.is_current(made)
    assert not costlier.is_current(made)
    assert not more_rounds.is_current(made)
    assert not hasher.is_current(Credential(made.hash, None))
    renewed = costlier.renewed(SECRET)
    assert renewed is not None and costlier.is_current(renewed) and costlier.check(renewed.hash, SECRET)
    assert hasher.renewed("a\0b") is None


@given(
    st.text(max_size=60),
    st.sampled_from(["", "{ARGON2ID}", "{BLF-CRYPT}", "{SHA512-CRYPT}", "$argon2id$v=19$m=8,t=1,p=1$"]),
)
@settings(max_examples=200)
def test_any_text_is_a_hash_or_refused(text: str, prefix: str) -> None:
    try:
        stored = recognised(prefix + text)
    except BadHashError as error:
        assert str(error).isprintable()
    else:
        assert stored.isascii()
