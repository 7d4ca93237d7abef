"""Octets to text, whatever their label says. Never raises."""

import codecs
import unicodedata

# By the names mail uses; codecs that are no character sets (rot13, zlib, idna) are not for the asking.
_KNOWN = {
    "us-ascii": "utf-8",  # what claims to be ASCII and is not is UTF-8, or else windows-1252
    "ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "646": "utf-8",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "iso-8859-1": "cp1252",  # as browsers have it: what differs are control characters nobody writes
    "latin1": "cp1252",
    "iso-8859-9": "cp1254",
    "ks_c_5601-1987": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "unicode-1-1-utf-7": "utf-7",
}
_PREFIXES = (
    "iso-8859-", "iso8859-", "iso_8859-", "windows-", "cp", "koi8-", "euc-", "euc_", "iso-2022-", "iso2022", "utf-",
    "utf_", "big5", "gb18030", "gb2312", "gbk", "hz", "johab", "mac", "shift", "tis-620", "ibm", "latin", "ptcp154",
    "viscii", "hp-roman8",
)  # fmt: skip


def charset_text(data: bytes, charset: bytes | str) -> str:
    """The text in that charset; what cannot be read becomes U+FFFD."""
    name = charset.decode("ascii", "replace") if isinstance(charset, bytes) else charset
    codec = _codec(name) or "utf-8"
    if codec == "utf-8":
        return raw_text(data)
    try:
        return data.decode(codec, "replace")
    except (UnicodeError, LookupError, ValueError):
        return raw_text(data)


def raw_text(data: bytes) -> str:
    """Octets without a label: UTF-8 if they are, else windows-1252."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def fold(text: str) -> str:
    """The form in which texts are compared (after RFC 5051): no case, one way to write a character, single spaces."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKD", text).casefold()
    return " ".join(folded.split())


def is_known(charset: str) -> bool:
    """Whether we can read that charset."""
    return bool(_codec(charset))


def _codec(charset: str) -> str:
    name = charset.strip().strip("'\"").lower()
    return _KNOWN.get(name) or (name if name.startswith(_PREFIXES) and _is_there(name) else "")


def _is_there(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False
