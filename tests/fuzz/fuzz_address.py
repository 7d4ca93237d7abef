"""Fuzz addresses and the arguments of MAIL and RCPT: a value or the documented error; what is read can be written."""

import sys
from pathlib import Path

if __name__ == "__main__":  # before they are imported: what is imported here is watched
    import atheris

    with atheris.instrument_imports(include=["posthouse.protocol.smtp.grammar", "posthouse.message.address"]):
        import posthouse.protocol.smtp.grammar  # noqa: F401

from posthouse.message.address import Address, AddressError
from posthouse.protocol.smtp.grammar import ArgumentError, parse_mail, parse_rcpt

_SEEDS = (
    "first.last+tag@mail.example.com",
    '"a \\"b\\\\"@example.test',
    "a@[192.0.2.1]",
    "a@[IPv6:2001:db8::1]",
    "a@[tag:x]",
    "a@xn--bcher-kva.example",
    "grüße@bücher.example",
    "a@例え。テスト",
    "@one.test,@two.test:a@b.test",
    "postmaster",
    "<a@b.test> SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2B AUTH=<>",
    "<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b.test",
    "<a@b.test> ORCPT=utf-8;grüße@b.test",
    '<"a>b"@c.test>',
)


def fuzz(data: bytes) -> None:
    """The text is what a command line may hold: UTF-8 without controls."""
    text = "".join(char for char in data.decode(errors="ignore") if char >= " " and char != "\x7f")
    _try_address(text)
    _try_command("FROM:" + text)
    _try_command("TO:" + text)
    _try_command("FROM:<" + text + "> SMTPUTF8")


def _try_address(text: str) -> None:
    for parse in (Address.parse, Address.parse_path):
        try:
            address = parse(text)
        except AddressError:
            continue
        _check(address)


def _try_command(text: str) -> None:
    try:
        sender = parse_mail(text)
        if sender.address is not None:
            _check(sender.address)
    except ArgumentError as error:
        assert 500 <= error.reply.code <= 555
    for smtputf8 in (False, True):
        try:
            recipient = parse_rcpt(text, smtputf8=smtputf8)
        except ArgumentError as error:
            assert 500 <= error.reply.code <= 555
            continue
        _check(recipient.address)
        assert smtputf8 or recipient.address.local.isascii()


def _check(address: Address) -> None:
    text = str(address)
    assert Address.parse_path(text) == address
    assert len(address.domain_key) <= 255 and address.domain_key.isascii()
    if address.local.isascii():
        assert address.to_ascii().isascii()


def main() -> None:
    """Fuzz until told to stop, or until -max_total_time."""
    import atheris

    corpus = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if corpus and corpus[0].is_dir():
        for number, text in enumerate(_SEEDS):
            (corpus[0] / f"seed-{number}").write_bytes(text.encode())
    atheris.Setup([*sys.argv, "-max_len=512"], fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
