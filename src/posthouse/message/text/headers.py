"""Header fields as their readers see them: encoded words, dates, subjects, ids. Never raises, linear in time."""

import binascii
import calendar
import re

from posthouse.message.text.charsets import charset_text, is_known, raw_text

MAX_IDS = 1000
MAX_SUBJECT = 1000  # characters that are compared
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_WORD = re.compile(r"=\?([^?\s]{1,75})\?([BbQq])\?([^?\s]*+)\?=")
_BETWEEN = re.compile(r"[ \t\r\n]*\Z")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]+")
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DATE = re.compile(
    r"(\d{1,2})[ \t]*[ \t\-.]?[ \t]*([A-Za-z]{3})[a-z]*\.?[ \t\-,]+(\d{2,4})"
    r"(?:[ \t,]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?(?:[.,]\d+)?)?[ \t]*([+-]\d{4}|[A-Za-z]{1,5})?"
)
_ZONES = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_COMMENT = re.compile(r"\([^()]*\)")
_ID = re.compile(r"<([^<>]{1,1000})>")
_QUOTED_LOCAL = re.compile(r'"((?:[^"\\]|\\.)*+)"(?=@)')
_BLOB = re.compile(r"\[[^\[\]]*\][ \t]*")
_REFWD = re.compile(r"(?:re|fwd?)[ \t]*(?:\[[^\[\]]*\][ \t]*)?:[ \t]*", re.IGNORECASE)
_FWD_TAIL = re.compile(r"(?:\(fwd\)|[ \t])+\Z", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n]+")
_DAY = 86400


def header_text(raw: bytes) -> str:
    """A value unfolded and its encoded words decoded (RFC 2047). Words side by side are joined before their octets
    are read, for many writers cut within a character.
    """
    text = raw_text(_FOLD.sub(b"", raw)).strip()
    if "=?" not in text:
        return text
    out: list[str] = []
    at = 0
    pending: list[bytes] = []
    charset = ""
    for word in _WORD.finditer(text):
        if not is_known(word.group(1).partition("*")[0]):
            continue
        between = text[at : word.start()]
        name = word.group(1).partition("*")[0].lower()  # RFC 2231 5: a language may follow
        if not pending or not _BETWEEN.match(between) or name != charset:
            out.append(charset_text(b"".join(pending), charset) if pending else "")
            out.append(between if not pending or not _BETWEEN.match(between) else "")
            pending = []
        charset = name
        pending.append(_octets(word.group(2), word.group(3)))
        at = word.end()
    if pending:
        out.append(charset_text(b"".join(pending), charset))
    out.append(text[at:])
    return "".join(out)


def _octets(coding: str, coded: str) -> bytes:
    if coding in "Qq":
        return binascii.a2b_qp(coded.encode("utf-8", "replace"), header=True)
    digits = _NOT_BASE64.sub("", coded)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + "=" * (-len(digits) % 4))


def sent(raw: bytes, received: int) -> tuple[int, int]:
    """When a message was sent: seconds since 1970, and the day as its writer wrote it, in days since 1970.

    Without a Date that can be read it is when it was received (RFC 5256 2.2; RFC 9051 6.4.4: days know no zone).
    """
    text = _COMMENT.sub(" ", raw[:200].decode("ascii", "replace"))
    found = _DATE.search(text)
    month = _MONTHS.get(found.group(2).lower()) if found else None
    if found is None or month is None:
        return received, received // _DAY
    day, year = int(found.group(1)), _year(found.group(3))
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return received, received // _DAY
    hour, minute, second = (int(found.group(group) or 0) for group in (4, 5, 6))
    if hour > 23 or minute > 59 or second > 60:
        return received, received // _DAY
    days = calendar.timegm((year, month, day, 0, 0, 0)) // _DAY
    return days * _DAY + hour * 3600 + minute * 60 + second - _zone(found.group(7)), days


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 2:  # RFC 5322 4.3
        return year + (2000 if year < 50 else 1900)
    return max(1, year + 1900 if len(text) == 3 else year)


def _zone(text: str | None) -> int:
    if not text:
        return 0
    if text[0] in "+-":
        seconds = int(text[1:3]) * 3600 + int(text[3:5]) * 60
        return -seconds if text[0] == "-" else seconds
    return _ZONES.get(text.lower(), 0) * 3600


def message_ids(raw: bytes) -> list[str]:
    """The ids in References, In-Reply-To or Message-ID, in one form each (RFC 5256 2.3)."""
    text = raw_text(_FOLD.sub(b"", raw))
    if "<" not in text:
        return []
    found = []
    for match in _ID.finditer(text):
        found.append(_QUOTED_LOCAL.sub(_plain_local, match.group(1).strip()))
        if len(found) >= MAX_IDS:
            break
    return found


def _plain_local(match: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", match.group(1))


def base_subject(subject: str) -> tuple[str, bool]:
    """What is left of a subject without Re: and its kin (RFC 5256 2.1), and whether it was a reply or a forward."""
    text = _SPACES.sub(" ", subject[:MAX_SUBJECT])
    reply = False
    while True:
        text = text.rstrip()
        shorter = _FWD_TAIL.sub("", text)
        if shorter != text:
            reply = reply or "(fwd)" in text[len(shorter) :].lower()
            text = shorter
        start = _leader_end(text)
        reply = reply or start[1]
        text = text[start[0] :]
        if text[:5].lower() == "[fwd:" and text.endswith("]"):
            text = text[5:-1].strip()
            reply = True
            continue
        return text, reply


def _leader_end(text: str) -> tuple[int, bool]:
    """Where the subject proper begins, behind blobs and Re:, and whether there was a Re: or Fwd: (RFC 5256 5)."""
    at, reply = 0, False
    while True:
        while at < len(text) and text[at] in " \t":
            at += 1
        leader, behind = at, at
        while (blob := _BLOB.match(text, behind)) is not None:
            behind = blob.end()
            refwd = _REFWD.match(text, behind)
            if refwd is not None:
                break
        refwd = _REFWD.match(text, behind)
        if refwd is not None:
            at, reply = refwd.end(), True
            continue
        blob = _BLOB.match(text, leader)
        # A blob alone goes too, unless nothing would be left (RFC 5256 2.1, step 4). "[Fwd:" is none.
        if blob is not None and text[blob.end() :].strip() and text[leader : leader + 5].lower() != "[fwd:":
            at = blob.end()
            continue
        return leader, reply
