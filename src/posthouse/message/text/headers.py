"""Header fields as their readers see them: encoded words, dates, ids. Never raises, linear in time."""

import binascii
import re
from datetime import date

from posthouse.message.months import MONTHS, month_number
from posthouse.message.text.charsets import charset_text, is_known, raw_text

MAX_IDS = 1000
_MAX_DATE = 500  # octets of a date that are looked at
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_WORD = re.compile(rb"=\?([^?\s]{1,75})\?([BbQq])\?([^?\r\n]*+)\?=")
_BREAKS = re.compile(r"[\0\r\n]+")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_MONTH = f"(?P<month>{'|'.join(MONTHS)})"
# RFC 5322 3.3 and 4.3: day, month, year; the time and the zone may be missing.
_DATE = re.compile(
    rf"(?<!\d)(?P<day>\d{{1,2}})[\s.-]*{_MONTH}[a-z]*\.?[\s,-]+(?P<year>\d{{2,4}})(?!\d)"
    r"(?:[\s,]+(?P<hour>\d{1,2})\s*:\s*(?P<minute>\d{1,2})(?:\s*:\s*(?P<second>\d{1,2}))?(?:[.,]\d+)?)?"
    r"\s*(?P<zone>[+-]\d{2}:?\d{2}|[a-z]{1,5})?",
    re.ASCII | re.IGNORECASE,
)
# As C's asctime() writes it: Mon Feb  7 21:52:25 1994.
_ASCTIME = re.compile(
    _MONTH + r"\s+(?P<day>\d{1,2})\s+(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)\s+"
    r"(?:(?P<zone>[+-]\d{4}|[a-z]{1,5})\s+)?(?P<year>\d{4})(?!\d)",
    re.ASCII | re.IGNORECASE,
)
# RFC 5322 4.3: others, and the letters of the military, say no more than +0000.
_ZONES = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_COMMENT = re.compile(r"\((?:[^()\\]|\\.)*+\)", re.DOTALL)
_ID = re.compile(r"<([^<>]{1,1000})>")
_QUOTED_LOCAL = re.compile(r'"((?:[^"\\]|\\.)*+)"(?=@)')
_PAIR = re.compile(r"\\(.)")
_DAY = 86400
_EPOCH = date(1970, 1, 1).toordinal()


def header_text(raw: bytes) -> str:
    """A value in one line, its encoded words decoded (RFC 2047). Words side by side are joined before their octets are
    read, for many writers cut within a character. Raw 8-bit within a word is of the word's charset.
    """
    line = _FOLD.sub(b"", raw)  # RFC 5322 2.2.3
    text = "".join(_words_decoded(line.strip())) if b"=?" in line else raw_text(line).strip()
    return _BREAKS.sub(" ", text)


def _words_decoded(text: bytes) -> list[str]:
    out: list[str] = []
    at = 0
    octets: list[bytes] = []  # of the words before, which have this charset
    charset = ""
    for word in _WORD.finditer(text):
        name = word[1].partition(b"*")[0].lower().decode("ascii", "replace")  # RFC 2231 5: a language may follow
        if not is_known(name):
            continue
        between = text[at : word.start()]
        is_beside = bool(octets) and not between.strip(b" \t\r\n")  # RFC 2047 6.2: space between words is no text
        if not is_beside or name != charset:
            out.append(charset_text(b"".join(octets), charset) if octets else "")
            out.append("" if is_beside else raw_text(between))
            octets = []
        charset = name
        octets.append(_octets(word[2], word[3]))
        at = word.end()
    if octets:
        out.append(charset_text(b"".join(octets), charset))
    out.append(raw_text(text[at:]))
    return out


def _octets(coding: bytes, coded: bytes) -> bytes:
    if coding in b"Qq":
        return binascii.a2b_qp(coded, header=True)  # RFC 2047 4.2
    digits = _NOT_BASE64.sub(b"", coded)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def sent(raw: bytes, received: int) -> tuple[int, int]:
    """When a message was sent: seconds since 1970, and the day as its writer wrote it, in days since 1970.

    Without a Date that can be read it is when it was received (RFC 5256 2.2). The day disregards the zone (RFC 9051
    6.4.4, SENTON).
    """
    text = _without_comments(raw[:_MAX_DATE].decode("ascii", "replace"))
    found = _DATE.search(text) or _ASCTIME.search(text)
    return (_moment(found) if found is not None else None) or (received, received // _DAY)


def _without_comments(text: str) -> str:
    """RFC 5322 4.3: they may stand anywhere. The innermost go first."""
    before = ""
    while "(" in text and text != before:
        before, text = text, _COMMENT.sub(" ", text)
    return text


def _moment(found: re.Match[str]) -> tuple[int, int] | None:
    try:
        day = date(_year(found["year"]), month_number(found["month"]) or 0, int(found["day"]))
    except ValueError:
        return None
    hour, minute, second = int(found["hour"] or 0), int(found["minute"] or 0), int(found["second"] or 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    days = day.toordinal() - _EPOCH
    return days * _DAY + hour * 3600 + minute * 60 + second - _zone(found["zone"] or ""), days


def _year(text: str) -> int:
    """RFC 5322 4.3: years of two and three digits."""
    year = int(text)
    if len(text) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(text) == 3 else year


def _zone(text: str) -> int:
    """Seconds east of Greenwich. RFC 5256 2.2: a zone that is none counts as +0000."""
    if text[:1] not in ("+", "-"):
        return _ZONES.get(text.lower(), 0) * 3600
    hours, minutes = int(text[1:3]), int(text[-2:])
    seconds = hours * 3600 + minutes * 60 if minutes < 60 else 0
    return -seconds if text[0] == "-" else seconds


def message_ids(raw: bytes) -> list[str]:
    """The ids in References, In-Reply-To or Message-ID, without brackets, each in one form (RFC 5256 3)."""
    text = raw_text(_FOLD.sub(b"", raw))
    found: list[str] = []
    for match in _ID.finditer(text):
        ident = _one_form(match[1])
        if ident:
            found.append(ident)
        if len(found) >= MAX_IDS:
            break
    return found


def _one_form(ident: str) -> str:
    """RFC 5256 3: <"01KF8JCEOCBS0045PS"@xxx.yyy.com> and <01KF8JCEOCBS0045PS@xxx.yyy.com> are the same."""
    if '"' not in ident:
        return "".join(ident.split())  # RFC 5322 4.5.4 lets space stand there; some writers fold long ids
    ident = ident.strip()
    quoted = _QUOTED_LOCAL.match(ident)
    return _PAIR.sub(r"\1", quoted[1]) + ident[quoted.end() :] if quoted is not None else ident
