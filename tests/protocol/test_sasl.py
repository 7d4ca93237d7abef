"""SASL: SCRAM against a foreign client, RFC 7677's example, and every way a peer can get it wrong."""

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scramp import ScramClient

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered
from posthouse.protocol.sasl import MAX_LINE, MAX_RESPONSE, Challenge, Exchange, Malformed, decoded, mechanisms

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


def test_the_example_of_rfc_7677() -> None:
    server = Exchange("SCRAM-SHA-256", bindings={}, nonce=lambda: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert server.begin(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == KeysWanted("user")
    keys = ScramKeys.derive("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert server.provide_keys(keys) == Challenge(b"r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    proof = b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert server.respond(b"c=biws,r=" + nonce + b"," + proof) == LoginProven("user")
    assert server.final == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def finish(server: Exchange, first: bytes, binding: bytes, extra: bytes = b"") -> object:
    """Prove the password "pencil" by hand, for what no client would send."""
    gs2, _, bare = first.partition(b"n=")
    step = server.begin(first)
    assert isinstance(step, KeysWanted)
    step = server.provide_keys(ScramKeys.derive("pencil", SALT, 4096))
    assert isinstance(step, Challenge)
    nonce = step.data.partition(b",")[0]
    without_proof = b"c=" + b64encode(gs2 + binding) + b"," + nonce + extra
    message = b",".join((b"n=" + bare, step.data, without_proof))
    client_key = hmac.digest(hashlib.pbkdf2_hmac("sha256", b"pencil", SALT, 4096), b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return server.respond(without_proof + b",p=" + b64encode(proof))


@pytest.mark.parametrize("name", ["tls-server-end-point", "tls-unique", "tls-exporter"])
def test_every_type_of_binding(name: str) -> None:
    server = exchange("SCRAM-SHA-256-PLUS", bindings={name: b"bound"})
    assert finish(server, b"p=" + name.encode() + b",,n=alice,r=abc", b"bound") == LoginProven("alice")


def test_a_client_that_cannot_bind_where_we_cannot() -> None:
    assert finish(exchange("SCRAM-SHA-256"), b"y,,n=alice,r=abc", b"") == LoginProven("alice")


def test_a_right_proof_over_another_header_fails() -> None:
    """The password is known, but the header that c= repeats is not the one that was sent (RFC 5802 6)."""
    server = exchange("SCRAM-SHA-256")
    assert finish(server, b"n,,n=alice,r=abc", b"smuggled") == LoginFailed("alice")


def test_acting_as_somebody_else_is_told() -> None:
    assert finish(exchange("SCRAM-SHA-256"), b"n,a=bo=2Cb,n=alice,r=abc", b"") == LoginProven("alice", "bo,b")


def test_extensions_behind_the_nonce_are_signed_and_ignored() -> None:
    server = exchange("SCRAM-SHA-256")
    assert finish(server, b"n,,n=alice,r=abc,x=new", b"", b",y=new") == LoginProven("alice")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN", "LOGIN"])
def test_responses_are_bounded(mechanism: str) -> None:
    assert decoded(b"A" * (MAX_LINE - 4)) == bytes(MAX_RESPONSE - 3)
    assert exchange(mechanism).begin(b"x" * (MAX_RESPONSE + 1)) == Malformed("response too long")


@pytest.mark.parametrize("mechanism", ["", "CRAM-MD5", "SCRAM-SHA-1", "plain"])
def test_a_mechanism_that_is_not_offered_is_the_callers_bug(mechanism: str) -> None:
    with pytest.raises(ValueError, match="mechanisms"):
        exchange(mechanism)


@pytest.mark.parametrize(
    "line", [b"A", b"AAA", b"AA=", b"====", b"AAAA=", b"AAAA====", b"AA==AAAA", b"AA AA", b"AAAA\n", b"\xff", b"-_-_"]
)
def test_base64_is_strict(line: bytes) -> None:
    assert decoded(line) is None


def test_base64() -> None:
    assert (decoded(b""), decoded(b"YQ=="), decoded(b"+/+/")) == (b"", b"a", b"\xfb\xff\xbf")


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
        b"n,,n=al\0ice,r=abc",
        b"n,,n=\xc2\xad,r=abc",
        "n,,n=\N{HEBREW LETTER ALEF}x,r=abc".encode(),
        b"n,a=,n=alice,r=abc",
        b"n,a=x=2,n=alice,r=abc",
        b"N,,n=alice,r=abc",
        b"p=,,n=alice,r=abc",
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
    step = exchange("LOGIN")
    assert step.begin(b"alice") == Challenge(b"Password:")  # an initial response is the name
    assert step.respond(b" a b ") == PasswordOffered("alice", " a b ")


@pytest.mark.parametrize(("login", "password"), [(b"", b"x"), (b"alice", b""), (b"\xff", b"x"), (b"alice", b"\xff")])
def test_login_that_is_wrong(login: bytes, password: bytes) -> None:
    step = exchange("LOGIN")
    step.begin(login)
    assert isinstance(step.respond(password), Malformed)


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
