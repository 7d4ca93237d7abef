"""Octets to text, whatever their label says. Never raises, linear in their number.

Labels come from anybody. Python looks for a codec whose name it does not know among its modules and remembers each
name it was asked for, forever; some codecs are no character sets (rot13, zlib, idna). So a label is looked up in a
table of ours first, and Python is asked for no other names than those.
"""

import re
import unicodedata
from encodings.aliases import aliases

_MODULES = frozenset((
    "big5", "big5hkscs", "cp037", "cp1006", "cp1026", "cp1125", "cp1140", "cp1250", "cp1251", "cp1252", "cp1253",
    "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp273", "cp424", "cp437", "cp500", "cp720", "cp737", "cp775",
    "cp850", "cp852", "cp855", "cp856", "cp857", "cp858", "cp860", "cp861", "cp862", "cp863", "cp864", "cp865", "cp866",
    "cp869", "cp874", "cp875", "cp932", "cp949", "cp950", "euc_jis_2004", "euc_jisx0213", "euc_jp", "euc_kr", "gb18030",
    "gb2312", "gbk", "hp_roman8", "hz", "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3",
    "iso2022_jp_ext", "iso2022_kr", "iso8859_10", "iso8859_11", "iso8859_13", "iso8859_14", "iso8859_15", "iso8859_16",
    "iso8859_2", "iso8859_3", "iso8859_4", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "iso8859_9", "johab",
    "koi8_r", "koi8_t", "koi8_u", "kz1048", "latin_1", "mac_arabic", "mac_croatian", "mac_cyrillic", "mac_farsi",
    "mac_greek", "mac_iceland", "mac_latin2", "mac_roman", "mac_romanian", "mac_turkish", "ptcp154", "shift_jis",
    "shift_jis_2004", "shift_jisx0213", "tis_620", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be",
    "utf_32_le", "utf_7", "utf_8",
))  # fmt: skip
# As browsers have it (WHATWG Encoding): the larger set that is meant. What claims to be ASCII may be anything.
_MEANT = {
    "ascii": "utf_8",
    "646": "utf_8",
    "utf8mb4": "utf_8",
    "utf_8_sig": "utf_8",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_6_e": "iso8859_6",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "big5": "big5hkscs",
    "x_sjis": "cp932",
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
    "x_euc_jp": "euc_jp",
    "x_mac_roman": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
    "unicode_1_1_utf_7": "utf_7",
    # The labels of the standard that Python does not know.
    "unicode_1_1_utf_8": "utf_8",
    "unicode11utf8": "utf_8",
    "unicode20utf8": "utf_8",
    "x_unicode20utf8": "utf_8",
    "csiso88596e": "iso8859_6",
    "csiso88596i": "iso8859_6",
    "sun_eu_greek": "iso8859_7",
    "csiso88598e": "iso8859_8",
    "csiso88598i": "iso8859_8",
    "logical": "iso8859_8",
    "visual": "iso8859_8",
    "csisolatin9": "iso8859_15",
    "koi": "koi8_r",
    "koi8": "koi8_r",
    "koi8_ru": "koi8_u",
    "csmacintosh": "mac_roman",
    "mac": "mac_roman",
    "x_mac_ukrainian": "mac_cyrillic",
    "csgb2312": "gb18030",
    "gb_2312": "gb18030",
    "gb_2312_80": "gb18030",
    "cn_big5": "big5hkscs",
    "x_x_big5": "big5hkscs",
    "cseucpkdfmtjapanese": "euc_jp",
    "windows_31j": "cp932",
    "cseuckr": "cp949",
    "csksc56011987": "cp949",
    "iso_ir_149": "cp949",
    "ks_c_5601_1989": "cp949",
    "ksc_5601": "cp949",
    "csunicode": "utf_16",
    "iso_10646_ucs_2": "utf_16",
    "ucs_2": "utf_16",
    "unicode": "utf_16",
    "unicodefeff": "utf_16",
    "unicodefffe": "utf_16_be",
    # Nothing is known of their octets, or nobody can read them: what is ASCII in them is kept.
    "iso_2022_cn": "utf_8",
    "iso_2022_cn_ext": "utf_8",
    "replacement": "utf_8",
    "x_user_defined": "utf_8",
}
_ISO_8859 = re.compile(r"\Aiso8859(?=1?[0-9]\Z)")  # iso88591
_APART = re.compile(r"[^0-9a-z]+")
_CODE_PAGE = re.compile(r"\A(?:x_)?(?:windows|win|cp|dos|ibm)_?(?=[0-9]+\Z)")
_ALIASES = {_APART.sub("_", name.lower()): module for name, module in aliases.items()}
_SPACES = re.compile(" {2,}")
_SURROGATES = re.compile(r"[\ud800-\udfff]+")
_HIGH = bytes(range(128, 256))
_WORDS = 1000  # that are folded at once: a character may become 18, and casefold() needs twelve octets for each
_LONG_WORD = 256  # characters that are brought into canonical order at once
_MAX_MARKS = 32  # upon one character (Unicode TR 15, Stream-Safe Text)


def charset_text(data: bytes, charset: bytes | str) -> str:
    """The text in that charset; what cannot be read becomes U+FFFD."""
    name = charset.decode("ascii", "replace") if isinstance(charset, bytes) else charset
    codec = _codec(name)
    if codec in ("", "utf_8"):
        return raw_text(data)
    text = data.decode(codec, "replace")
    return _SURROGATES.sub("\ufffd", text) if codec == "utf_7" else text


def raw_text(data: bytes) -> str:
    """Octets without a label: UTF-8 if most beyond ASCII is, else windows-1252."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    sound = len(text) - broken - len(data.translate(None, _HIGH))
    return text if sound > broken else data.decode("cp1252", "replace")


def is_known(charset: str) -> bool:
    """Whether we can read that charset."""
    return bool(_codec(charset))


def _codec(charset: str) -> str:
    """The name of a codec of Python; "" when the charset is unknown."""
    if len(charset) > 100:
        return ""
    name = _APART.sub("_", charset.lower()).strip("_")
    return _known(name) or _known(_CODE_PAGE.sub("cp", name)) or _known(_ISO_8859.sub("iso8859_", name))


def _known(name: str) -> str:
    name = _MEANT.get(name, name)
    module = _ALIASES.get(name, name)
    module = _MEANT.get(module, module)
    return module if module in _MODULES else ""


def fold(text: str) -> str:
    """The form in which texts are compared (after RFC 5051): no case, one way to write a character, single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    words = text.split()
    if len(words) <= _WORDS:
        return _folded(words)
    pieces = (_folded(words[start : start + _WORDS]) for start in range(0, len(words), _WORDS))
    return " ".join(filter(None, pieces))


def collated(text: str) -> str:
    """The form in which texts are ordered: i;unicode-casemap (RFC 5051 2), with single spaces. For short ones."""
    if text.isascii():
        return " ".join(text.upper().split())
    words = "".join([_titlecase(char) for char in text]).split()
    return _SPACES.sub(" ", " ".join([_decomposed(word, casefold=False) for word in words])).strip(" ")


def _titlecase(char: str) -> str:
    """Of one character, where that is one as well: Unicode's other titlecases are not meant."""
    title = char.title()
    return title if len(title) == 1 else char


def _folded(words: list[str]) -> str:
    if max(map(len, words), default=0) > _LONG_WORD:
        folded = " ".join(map(_decomposed, words))
    else:
        folded = unicodedata.normalize("NFKD", " ".join(words)).casefold()
    # All the white space there is now are spaces, and few come together: NFKD makes them in front of marks.
    return (_SPACES.sub(" ", folded) if "  " in folded else folded).strip(" ")


def _decomposed(word: str, *, casefold: bool = True) -> str:
    """NFKD, without case, in pieces: the time NFKD takes grows with the square of the marks upon one character."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        end = start + _LONG_WORD
        last = end + _MAX_MARKS
        while end < last and unicodedata.combining(word[end : end + 1] or " "):
            end += 1
        piece = unicodedata.normalize("NFKD", word[start:end])
        pieces.append(piece.casefold() if casefold else piece)
        start = end
    return "".join(pieces)
