import subprocess

import pytest

from posthouse.accounts import sha512crypt


def ours(password: str, salt: str, rounds: int) -> str:
    return sha512crypt.digest(password.encode(), salt.encode(), rounds)


@pytest.mark.parametrize(
    ("salt", "rounds", "expected"),
    [
        (
            "saltstring",
            5_000,
            "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "saltstringsaltstring",
            10_000,
            "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
    ],
)
def test_the_vectors_of_the_specification(salt: str, rounds: int, expected: str) -> None:
    assert ours("Hello world!", salt, rounds) == expected


def openssl(password: str, salt: str) -> str:
    command = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    return (
        subprocess.run(command, input=password.encode() + b"\n", capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200])
def test_it_agrees_with_openssl(length: int) -> None:
    password, salt = ("pässwörd." * 30)[:length], "./09AZaz"[: 1 + length % 8]
    assert sha512crypt.split(openssl(password, salt)) == (5_000, salt, ours(password, salt, 5_000))


def test_it_agrees_with_openssl_on_given_rounds() -> None:
    assert openssl("secret", "rounds=1234$salt") == f"$6$rounds=1234$salt${ours('secret', 'salt', 1_234)}"


def test_the_empty_password_has_a_digest() -> None:
    assert len(ours("", "salt", 1_000)) == 86


def test_few_rounds_are_raised_to_the_least_there_are() -> None:
    assert sha512crypt.split("$6$rounds=10$salt$" + "a" * 86) == (1_000, "salt", "a" * 86)


@pytest.mark.parametrize(
    "text", ["", "$6$", "$6$salt$short", "$5$salt$" + "a" * 86, "$6$rounds=x$salt$" + "a" * 86, "$6$s\0lt$" + "a" * 86]
)
def test_other_forms_are_not_taken(text: str) -> None:
    assert sha512crypt.split(text) is None
