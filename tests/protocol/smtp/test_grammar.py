"""The arguments of MAIL and RCPT: what each parameter becomes, and which reply a fault gets."""

import pytest

from posthouse.message.address import Address
from posthouse.message.envelope import BodyType, Recipient, ReversePath
from posthouse.protocol.smtp.grammar import ArgumentError, parse_mail, parse_rcpt

A, B = Address("a", "client.test"), Address("b", "example.test")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM:<>", ReversePath(None)),
        ("from:<a@client.test>", ReversePath(A)),
        ("FROM:  <a@client.test>", ReversePath(A)),
        ("FROM:a@client.test", ReversePath(A)),
        ("FROM: a@client.test. SIZE=4", ReversePath(A, 4)),
        ("FROM:<@x.test,@y.test:a@client.test>", ReversePath(A)),
        ("FROM:<> SIZE=0", ReversePath(None)),
        ("FROM:<a@client.test> SIZE=4096 BODY=8BITMIME", ReversePath(A, 4096, BodyType.EIGHT_BIT)),
        ("FROM:<a@client.test> body=binarymime", ReversePath(A, body=BodyType.BINARY)),
        ("FROM:<a@client.test> SMTPUTF8", ReversePath(A, smtputf8=True)),
        ("FROM:<ü@client.test> SMTPUTF8", ReversePath(Address("ü", "client.test"), smtputf8=True)),
        ("FROM:<a@client.test> RET=full ENVID=QQ+2B", ReversePath(A, ret="FULL", envid="QQ+2B")),
        ("FROM:<a@client.test> AUTH=<>", ReversePath(A, auth="<>")),
        ("FROM:<a@client.test> AUTH=b+40c.test", ReversePath(A, auth="b+40c.test")),
        ('FROM:<"a>b"@client.test> SIZE=1', ReversePath(Address("a>b", "client.test"), 1)),
        (r'FROM:<"a\">b"@client.test>', ReversePath(Address('a">b', "client.test"))),
    ],
)
def test_mail(text: str, expected: ReversePath) -> None:
    assert parse_mail(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TO:<b@example.test>", Recipient(B)),
        ("to:<b@example.test>", Recipient(B)),
        ("TO:<Postmaster>", Recipient(Address("Postmaster", ""))),
        ("TO:<b@example.test> NOTIFY=NEVER", Recipient(B, ("NEVER",))),
        ("TO:<b@example.test> notify=success,Delay", Recipient(B, ("SUCCESS", "DELAY"))),
        ("TO:<b@example.test> ORCPT=rfc822;b+2Bx@example.test", Recipient(B, (), "rfc822;b+2Bx@example.test")),
        (r"TO:<b@example.test> ORCPT=utf-8;\x{FC}@example.test", Recipient(B, (), r"utf-8;\x{FC}@example.test")),
    ],
)
def test_rcpt(text: str, expected: Recipient) -> None:
    assert parse_rcpt(text, smtputf8=False) == expected


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("", 501, "5.5.4"),
        ("TO:<a@client.test>", 501, "5.5.4"),
        ("FROM:", 501, "5.1.7"),
        ("FROM:a", 501, "5.1.7"),
        ("FROM:a@client.test>", 501, "5.5.4"),
        ("FROM:a@client.test\tSIZE=1", 501, "5.5.4"),
        ("FROM:<a@client.test", 501, "5.1.7"),
        ("FROM: ", 501, "5.1.7"),
        ("FROM:<postmaster>", 501, "5.1.7"),
        ("FROM:< >", 501, "5.1.7"),
        ('FROM:<"a@client.test>', 501, "5.1.7"),
        ("FROM:<<a@client.test>>", 501, "5.5.4"),
        ("FROM:<ü@client.test>", 553, "5.6.7"),
        ("FROM:<a@client.test>>", 501, "5.5.4"),
        ("FROM:<a@client.test> SIZE=1=2", 501, "5.5.4"),
        ("FROM:<a@client.test> SIZE=\u0661", 501, "5.5.4"),
        ("FROM:<a@client.test> ENVID=", 501, "5.5.4"),
        ("FROM:<a@client.test> RET", 501, "5.5.4"),
        ("FROM:<a@client.test> HOLDFOR=1", 555, "5.5.4"),
        ("FROM:<a@client.test> -X=1", 501, "5.5.4"),
    ],
)
def test_faults_of_mail(text: str, code: int, status: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_mail(text)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, status)


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("FROM:<b@example.test>", 501, "5.5.4"),
        ("TO:<>", 501, "5.1.3"),
        ("TO:<b>", 501, "5.1.3"),
        ("TO:<b@bücher.test>", 553, "5.6.7"),
        ("TO:<b@example.test> NOTIFY=", 501, "5.5.4"),
        ("TO:<b@example.test> NOTIFY=NEVER,NEVER", 501, "5.5.4"),
        ("TO:<b@example.test> ORCPT=rfc822;a=b", 501, "5.5.4"),
        ("TO:<b@example.test> ORCPT=utf-8;ü", 501, "5.5.4"),
        ("TO:<b@example.test> ORCPT=rfc822;" + "x" * 500, 501, "5.5.4"),
        ("TO:<b@example.test> SIZE=1", 555, "5.5.4"),
    ],
)
def test_faults_of_rcpt(text: str, code: int, status: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_rcpt(text, smtputf8=False)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, status)


def test_no_reply_repeats_what_the_peer_wrote() -> None:
    for text in ("FROM:<evil words@x>", "FROM:<a@client.test> EVIL=1", "FROM:<a@client.test> SIZE=evil"):
        with pytest.raises(ArgumentError) as caught:
            parse_mail(text)
        assert "evil" not in caught.value.reply.text.lower()
