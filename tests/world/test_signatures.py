"""What Posthouse signed is found good by verifiers that others wrote, with the keys that the world's DNS has."""

import sys

import pytest

from tests.interop.tools import PACKAGES, tool
from tests.world.mail import Letter, arrived
from tests.world.world import ALPHA, BETA, EXIM, POSTFIX, World

PACKAGES.update({"opendkim-testmsg": "opendkim-tools", "perl": "perl libmail-dkim-perl"})

# Each prints a line for each signature, with the domain, the algorithm and what it thinks.
MAIL_DKIM = """
use Mail::DKIM::Verifier;
my $verifier = Mail::DKIM::Verifier->new();
binmode STDIN;
while (read STDIN, my $piece, 65536) { $verifier->PRINT($piece) }
$verifier->CLOSE;
print join(" ", $_->domain, $_->algorithm, $_->result), "\\n" for $verifier->signatures;
"""
DKIMPY = """
import re, sys, dkim
message = sys.stdin.buffer.read()
verifier = dkim.DKIM(message)
fields = [value for name, value in verifier.headers if name.lower() == b"dkim-signature"]
for index, field in enumerate(fields):
    algorithm = re.search(rb"a=([a-z0-9-]+)", field)[1].decode()
    if algorithm == "rsa-sha256":
        print(verifier.domain.decode() if verifier.verify(index) else "", algorithm, "pass")
"""


@pytest.fixture(scope="module", params=[BETA, POSTFIX, EXIM])
def delivered(world: World, request: pytest.FixtureRequest) -> bytes:
    """A letter from Posthouse as it came to another server."""
    letter = Letter(f"alice@{ALPHA}", f"carol@{request.param}", body="Grüße\r\n\r\n.dot  \r\n\t tail \r\n\r\n\r\n")
    world.alpha.send(letter)
    return arrived(world.servers[request.param], letter.recipient, letter.subject, world.alpha)


def test_dkimpy(world: World, delivered: bytes) -> None:
    """RSA only: for Ed25519 it needs PyNaCl, which nothing else here wants."""
    said = world.beta.host.run(sys.executable, "-W", "ignore", "-c", DKIMPY, stdin=delivered)
    assert said.splitlines() == [f"{ALPHA} rsa-sha256 pass"]


def test_mail_dkim(world: World, delivered: bytes) -> None:
    """RSA only: Debian's knows no Ed25519 yet, and must be content with what it knows."""
    said = world.beta.host.run(tool("perl"), "-e", MAIL_DKIM, stdin=delivered)
    assert f"{ALPHA} rsa-sha256 pass" in said.splitlines()


def test_opendkim(world: World, delivered: bytes) -> None:
    """Both algorithms; one signature that is not good is an error."""
    world.beta.host.run(tool("opendkim-testmsg"), stdin=delivered)


def test_opendkim_finds_what_was_changed(world: World, delivered: bytes) -> None:
    world.beta.host.run(tool("opendkim-testmsg"), stdin=delivered.replace(b"dot", b"dash"), allowed=range(1, 128))
