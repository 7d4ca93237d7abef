"""Messages that differ as real ones do: words by Zipf's law, subjects, threads, plain text beside HTML and base64.

The same seed gives the same messages on every machine and for every server. A few words stand in a known number of
messages, so that the answer to a search can be checked.
"""

import base64
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate

WORDS = 20_000
SENTENCES = 4_000
START = 1_767_690_000  # 2026-01-06 09:00 UTC; a message each five minutes from then on
ONSETS = ("", *"bcdfghlmnprstvw", "br", "ch", "cl", "gr", "pl", "sh", "st", "th", "tr")
ENDS = ("", "", "", *"dklmnrst", "ck", "ng", "nt", "rd", "st")
SYLLABLES = [a + b + c for a in ONSETS for b in ("a", "e", "i", "o", "u", "ea", "ou") for c in ENDS]

# No syllable has a q: these are found only where they were put.
TEXT_WORD, TEXT_EACH = "vinquaster", 37  # in the text of each 37th message
SUBJECT_WORD, SUBJECT_EACH = "barouquent", 25  # in the subject of each 25th


@dataclass(frozen=True)
class Sample:
    """A message and what is known of it."""

    octets: bytes
    has_text_word: bool
    has_subject_word: bool


class Corpus:
    """An endless supply of messages; those of one seed are the same each time, one by one."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._sentences = self._write_sentences()
        self._roots: list[tuple[str, str]] = []  # (Message-ID, subject) that later ones answer

    def _write_sentences(self) -> list[str]:
        chance = self._random
        words = dict.fromkeys("".join(chance.choices(SYLLABLES, k=1 + rank * 4 // WORDS)) for rank in range(WORDS))
        ranked = sorted(words, key=len)  # the common ones are short
        weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(ranked))))
        self._subjects = [
            " ".join(chance.choices(ranked, cum_weights=weights, k=chance.randint(2, 7))) for _ in range(SENTENCES)
        ]
        return [
            " ".join(chance.choices(ranked, cum_weights=weights, k=chance.randint(5, 18))).capitalize() + "."
            for _ in range(SENTENCES)
        ]

    def samples(self, count: int, octets: int) -> Iterator[Sample]:
        """That many messages of about that many octets each (and at least some 600)."""
        for number in range(count):
            text_word, subject_word = number % TEXT_EACH == 5, number % SUBJECT_EACH == 3
            head, ident = self._head(number, subject_word)
            body = self._body(number, max(120, octets - len(head) - 160), text_word)
            self._roots = [*self._roots[-200:], ident] if number % 3 == 0 else self._roots
            yield Sample((head + body).encode(), text_word, subject_word)

    def _head(self, number: int, subject_word: bool) -> tuple[str, tuple[str, str]]:
        chance = self._random
        sender = chance.choice(self._sentences).split()[0].lower().strip(".")
        ident = f"<{number}.{chance.getrandbits(48):x}@{sender}.example>"
        subject, answers = chance.choice(self._subjects), ""
        if self._roots and number % 3:
            first, about = chance.choice(self._roots)
            subject, answers = f"Re: {about}", f"In-Reply-To: {first}\r\nReferences: {first}\r\n"
        if subject_word:
            subject += f" {SUBJECT_WORD}"
        head = (
            f"Received: from mx{number % 7}.{sender}.example by mail.example.test with ESMTPS id {number:08x}\r\n"
            f"From: {sender.capitalize()} <{sender}@{sender}.example>\r\nTo: <u{number % 200}@example.test>\r\n"
            f"Subject: {subject}\r\nDate: {formatdate(START + 300 * number)}\r\n{answers}"
            f"Message-ID: {ident}\r\nMIME-Version: 1.0\r\n"
        )
        about = subject.removeprefix("Re: ").removesuffix(f" {SUBJECT_WORD}")
        return head, (ident, about)

    def _body(self, number: int, octets: int, word: bool) -> str:
        """Of ten messages seven are plain, two have HTML beside it, one is base64."""
        kind = number % 10
        if kind < 7:
            return f"Content-Type: text/plain; charset=utf-8\r\n\r\n{self._text(octets, word)}"
        if kind == 9:
            encoded = base64.encodebytes(self._text(octets * 3 // 4, word).encode()).replace(b"\n", b"\r\n")
            how = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            return how + encoded.decode()
        text = self._text(max(60, octets // 2 - 150), word)
        html = "".join(f"<p>{line}</p>\r\n" for line in text.splitlines())
        mark = f"=_{number:x}"
        return (
            f'Content-Type: multipart/alternative; boundary="{mark}"\r\n\r\n'
            f"--{mark}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
            f"--{mark}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--{mark}--\r\n"
        )

    def _text(self, octets: int, word: bool) -> str:
        """Sentences, a line each where they fit in one."""
        lines, held = [f"Dear {TEXT_WORD},"] if word else ["Dear all,"], 12
        while held < octets:
            line = self._random.choice(self._sentences)[: max(20, octets - held)]
            lines.append(line)
            held += len(line) + 2
        return "\r\n".join(lines) + "\r\n"
