"""SASL: SCRAM against a foreign client, RFC 7677's example, and every way a peer can get it wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scramp import ScramClient

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered
from posthouse.protocol.sasl import Challenge, Exchange, Malformed, mechanisms

SALT = bytes(range(16))
BINDINGS = {"tls-server-end-point": b"digest of the certificate"}


def exchange(mechanism: str, *, bindings: dict[str, bytes] | None = None) -> Exchange:
    return Exchange(mechanism, bindings=bindings or {}, nonce=lambda: "servernonce")


def run_scram(client_password: str, server_password: str, *, plus: bool) -> tuple[object, Exchange]:
    """scramp as the client; the last step and our side."""
    name = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
    binding = ("tls-server-end-point", BINDINGS["tls-server-end-point"]) if plus else None
    client = ScramClient([name], "alice", client_password, channel_binding=binding)
    server = exchange(name, bindings=BINDINGS if plus else {})
    step = server.begin(client.get_client_first().encode())
    assert step == KeysWanted("alice")
    step = server.provide_keys(ScramKeys.derive(server_password, SALT, 4096))
    assert isinstance(step, Challenge)
    client.set_server_first(step.data.decode())
    step = server.respond(client.get_client_final().encode())
    if isinstance(step, LoginProven):
        client.set_server_final(server.final.decode())  # raises when the server has not proved itself
    return step, server


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("password", ["pencil", "päß wörd", "a=b,c"])
def test_scram_with_a_foreign_client(password: str, plus: bool) -> None:
    step, _ = run_scram(password, password, plus=plus)
    assert step == LoginProven("alice")


@pytest.mark.parametrize("plus", [False, True])
def test_scram_wrong_password(plus: bool) -> None:
    step, server = run_scram("pencil", "crayon", plus=plus)
    assert step == LoginFailed("alice")
    assert server.final == b""


def test_scram_bound_to_another_certificate() -> None:
    binding = ("tls-server-end-point", b"the certificate of a man in the middle")
    client = ScramClient(["SCRAM-SHA-256-PLUS"], "alice", "pencil", channel_binding=binding)
    server = exchange("SCRAM-SHA-256-PLUS", bindings=BINDINGS)
    server.begin(client.get_client_first().encode())
    step = server.provide_keys(ScramKeys.derive("pencil", SALT, 4096))
    assert isinstance(step, Challenge)
    client.set_server_first(step.data.decode())
    assert server.respond(client.get_client_final().encode()) == LoginFailed("alice")


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=alice",
        b"n,,n=,r=abc",
        b"n,,n=alice,r=",
        b"n,,n=al=ice,r=abc",
        b"n,,m=ext,n=alice,r=abc",
        b"n,x=bob,n=alice,r=abc",
        b"p=tls-unique,,n=alice,r=abc",
        b"y,,n=alice,r=abc",
        b"\xff,,n=alice,r=abc",
        b"n,,n=alice,r=a b",
    ],
)
def test_scram_first_messages_that_are_wrong(first: bytes) -> None:
    assert isinstance(exchange("SCRAM-SHA-256", bindings=BINDINGS).begin(first), Malformed)


def test_scram_plus_needs_a_binding() -> None:
    assert isinstance(exchange("SCRAM-SHA-256-PLUS", bindings=BINDINGS).begin(b"n,,n=alice,r=abc"), Malformed)


@pytest.mark.parametrize("final", [b"", b"c=biws", b"c=biws,r=abc,p=AAAA", b"c=!!,r=abcservernonce,p=AAAA", b"p=,,"])
def test_scram_final_messages_that_are_wrong(final: bytes) -> None:
    server = exchange("SCRAM-SHA-256")
    server.begin(b"n,,n=alice,r=abc")
    server.provide_keys(ScramKeys.derive("pencil", SALT, 4096))
    assert isinstance(server.respond(final), Malformed)


def test_names_are_unquoted() -> None:
    assert exchange("SCRAM-SHA-256").begin(b"n,a=x=2Cy,n=a=3Db,r=abc") == KeysWanted("a=b")


def test_plain() -> None:
    assert exchange("PLAIN").begin(b"\0alice\0secret") == PasswordOffered("alice", "secret")
    assert exchange("PLAIN").begin(b"bob\0alice\0secret") == PasswordOffered("alice", "secret", "bob")
    step = exchange("PLAIN")
    assert step.begin(None) == Challenge(b"")
    assert step.respond("\0älice\0s".encode()) == PasswordOffered("älice", "s")


@pytest.mark.parametrize("data", [b"", b"alice", b"\0alice", b"\0\0secret", b"\0alice\0", b"\0a\0b\0c", b"\0\xff\0x"])
def test_plain_that_is_wrong(data: bytes) -> None:
    assert isinstance(exchange("PLAIN").begin(data), Malformed)


def test_login() -> None:
    step = exchange("LOGIN")
    assert step.begin(None) == Challenge(b"Username:")
    assert step.respond(b"alice") == Challenge(b"Password:")
    assert step.respond(b"secret") == PasswordOffered("alice", "secret")


def test_what_is_announced() -> None:
    assert mechanisms(bindings={}, plaintext_ok=False) == ("SCRAM-SHA-256",)
    assert mechanisms(bindings=BINDINGS, plaintext_ok=True) == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")


@given(
    st.sampled_from(mechanisms(bindings=BINDINGS, plaintext_ok=True)),
    st.lists(st.binary(max_size=60) | st.sampled_from([b"n,,n=u,r=x", b"c=biws,r=xservernonce,p=AA=="]), max_size=4),
)
def test_nothing_a_peer_sends_raises(mechanism: str, responses: list[bytes]) -> None:
    server = exchange(mechanism, bindings=BINDINGS)
    step: object = server.begin(None)
    for data in responses:
        if isinstance(step, KeysWanted):
            step = server.provide_keys(ScramKeys(SALT, 4096, bytes(32), bytes(32)))
        if not isinstance(step, Challenge):
            return
        step = server.respond(data)
