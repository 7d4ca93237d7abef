"""What Posthouse signed is found good by verifiers that others wrote, with the keys that the world's DNS has."""

import re
import sys

import pytest
from tests.interop.tools import PACKAGES, tool
from tests.world.mail import Letter, arrived
from tests.world.world import ALPHA, BETA, EXIM, POSTFIX, World

PACKAGES.update({"opendkim-testmsg": "opendkim-tools", "perl": "perl libmail-dkim-perl"})

MAIL_DKIM = """
use Mail::DKIM::Verifier;
my $verifier = Mail::DKIM::Verifier->new();
while (<STDIN>) { s/\\r?\\n$/\\r\\n/; $verifier->PRINT($_); }
$verifier->CLOSE;
for my $signature ($verifier->signatures) {
    print $signature->domain, " ", $signature->algorithm, " ", $signature->result, "\\n";
}
"""
DKIMPY = """
import sys, dkim
message = sys.stdin.buffer.read()
count = message.lower().count(b"\\ndkim-signature:") + message.lower().startswith(b"dkim-signature:")
verifier = dkim.DKIM(message)
for index in range(count):
    print(verifier.verify(index), verifier.domain.decode())
"""


@pytest.fixture(scope="module", params=[BETA, POSTFIX, EXIM])
def delivered(world: World, request: pytest.FixtureRequest) -> bytes:
    """A letter from Posthouse as it came to another server."""
    letter = Letter(f"alice@{ALPHA}", f"carol@{request.param}", body="Grüße\r\n\r\n.dot  \r\n\t tail \r\n\r\n\r\n")
    world.alpha.send(letter)
    return arrived(world.servers[request.param], letter.recipient, letter.subject, world.alpha)


def signatures(message: bytes) -> int:
    """How many DKIM-Signature fields it has."""
    return len(re.findall(rb"^dkim-signature:", message.partition(b"\r\n\r\n")[0], re.IGNORECASE | re.MULTILINE))


def test_dkimpy(world: World, delivered: bytes) -> None:
    said = world.beta.host.run(sys.executable, "-W", "ignore", "-c", DKIMPY, stdin=delivered)
    assert said.splitlines() == [f"True {ALPHA}"] * signatures(delivered) != []


def test_mail_dkim(world: World, delivered: bytes) -> None:
    said = world.beta.host.run(tool("perl"), "-e", MAIL_DKIM, stdin=delivered)
    lines = [line.split() for line in said.splitlines()]
    assert len(lines) == signatures(delivered) > 0
    assert all((domain, result) == (ALPHA, "pass") for domain, _, result in lines), said


def test_opendkim(world: World, delivered: bytes) -> None:
    said = world.beta.host.run(tool("opendkim-testmsg"), stdin=delivered)
    assert not said, said
