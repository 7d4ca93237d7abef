"""The letters that lie in the mailboxes of the dialogues."""

_TO = b"To: Alice <alice@example.test>\r\n"


def _plain(name: bytes, day: int, sender: bytes, subject: bytes, text: bytes, more: bytes = b"") -> bytes:
    return (
        b"Date: Fri, %02d May 2026 08:00:00 +0000\r\nFrom: %b\r\n" % (day, sender)
        + _TO
        + b"Subject: %b\r\nMessage-ID: <%b@example.net>\r\n%b\r\n%b" % (subject, name, more, text)
    )


_ANN, _BEN, _CLEO = b"Ann <ann@example.net>", b"ben@example.net", b'"Cleo" <zoe@example.net>'

LETTERS = {
    "one": _plain(b"one", 1, _ANN, b"Apples", b"First words.\r\n"),
    "two": _plain(b"two", 8, _BEN, b"Pears", b"Second words.\r\n"),
    "three": _plain(b"three", 15, _CLEO, b"Cherries", b"Third and last words.\r\n"),
    "reply": _plain(
        b"reply",
        10,
        _BEN,
        b"Re: Apples",
        b"Yes.\r\n",
        b"In-Reply-To: <one@example.net>\r\nReferences: <one@example.net>\r\n",
    ),
    "again": _plain(
        b"again",
        12,
        _ANN,
        b"Re: apples",
        b"No.\r\n",
        b"In-Reply-To: <reply@example.net>\r\nReferences: <one@example.net> <reply@example.net>\r\n",
    ),
    "namesake": _plain(b"namesake", 14, _CLEO, b"Apples", b"Other apples.\r\n"),
    "parts": _plain(
        b"parts",
        22,
        _ANN,
        b"Two parts",
        b"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"Gr=C3=BC=C3=9Fe\r\n"
        b"--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n"
        b"--x\r\nContent-Type: image/x-odd\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n"
        b"--x--\r\n",
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n',
    ),
    "padded": _plain(
        b"padded",
        29,
        _ANN,
        b"Padded",
        b"one line  \t\r\nkept=20\r\n \r\nsoftly = \t\r\nbroken=\r\n twice  ",
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    ),
    "umlaut": _plain(b"umlaut", 29, _ANN, b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", b"Hello.\r\n"),
}
# Sorted: an umlaut is its letter and a mark; "[" and "_" stand behind Z.
for number, word in enumerate((b"_x", b"zebra", b"Zulu", b"=?utf-8?q?=C3=84pfel?=", b"apes", b"=?utf-8?q?=C3=A6?="), 1):
    LETTERS[f"collate{number}"] = _plain(
        b"collate%d" % number,
        number,
        b"%b <%b@example.net>" % (word, (b"_x", b"zebra", b"Zulu", b"b", b"a", b"~")[number - 1]),
        word,
        b"\r\n",
    )
