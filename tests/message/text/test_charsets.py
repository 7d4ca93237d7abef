import codecs
import sys
import unicodedata
from encodings.aliases import aliases
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.text import charset_text, fold
from posthouse.message.text.charsets import _MODULES, _codec, collated, is_known, raw_text

RUSSIAN = "Привет, мир"


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("utf-8", "ж€".encode(), "ж€"),
        ("UTF8", "ж€".encode(), "ж€"),
        ("us-ascii", "ж€".encode(), "ж€"),
        ("ISO-8859-1", b"\xe9\x80", "é€"),
        ("latin1", b"\xe9", "é"),
        ("iso-8859-15", b"\xa4", "€"),
        ("ISO_8859-2", b"\xb1", "ą"),
        ("windows-1252", b"\x93x\x94", "“x”"),
        ("Windows-1251", RUSSIAN.encode("cp1251"), RUSSIAN),
        ("cp-1251", RUSSIAN.encode("cp1251"), RUSSIAN),
        ("x-cp1251", RUSSIAN.encode("cp1251"), RUSSIAN),
        ("KOI8-R", RUSSIAN.encode("koi8-r"), RUSSIAN),
        ("iso-2022-jp", b"\x1b$BF|K\\\x1b(B", "日本"),
        ("Shift_JIS", b"\x93\xfa\x96{", "日本"),
        ("x-sjis", b"\x93\xfa\x96{", "日本"),
        ("EUC-JP", b"\xc6\xfc\xcb\xdc", "日本"),
        ("gb2312", b"\xd6\xd0\xb9\xfa", "中国"),
        ("GBK", "鎔".encode("gbk"), "鎔"),
        ("big5", b"\xa4\xa4", "中"),
        ("ks_c_5601-1987", b"\xc7\xd1", "한"),
        ("windows-949", b"\xc7\xd1", "한"),
        ("iso-8859-8-i", b"\xe0", "א"),
        ("tis-620", b"\xa1", "ก"),
        ("macintosh", b"\x8e", "é"),
        ("utf-16", "ж".encode("utf-16"), "ж"),
        ("utf-7", b"Hi Mom +Jjo-!", "Hi Mom ☺!"),
        ('"utf-8"', "ж".encode(), "ж"),
        (" 'koi8-r' ", b"\xd6", "ж"),
        ("unknown-8bit", "ж".encode(), "ж"),
        ("unknown-8bit", b"\xe9t\xe9", "été"),
        ("", b"\xe9t\xe9", "été"),
    ],
)
def test_charsets(charset: str, octets: bytes, text: str) -> None:
    assert charset_text(octets, charset) == text
    assert charset_text(octets, charset.encode()) == text


@pytest.mark.parametrize(
    "charset",
    ["rot13", "zlib", "bz2", "hex", "base64", "uu", "quopri", "idna", "punycode", "unicode_escape", "undefined",
     "raw_unicode_escape", "palmos", "mbcs", "oem", "charmap", "x" * 10_000, "utf-8\0", "a.b", "../utf_8", "ж"],
)  # fmt: skip
def test_no_other_codecs(charset: str) -> None:
    assert charset_text(b"uryyb", charset) == "uryyb"


def test_strangers_names_reach_no_import() -> None:
    import encodings

    before, modules = len(encodings._cache), len(sys.modules)
    for number in range(1000):
        charset_text(b"x", f"cp{number}1234")
        charset_text(b"x", f"windows-x{number}")
    assert (len(encodings._cache), len(sys.modules)) == (before, modules)


def test_every_alias_of_a_character_set() -> None:
    for name, module in aliases.items():
        assert is_known(name) == (module in _MODULES or module == "ascii"), name


def _labels() -> list[tuple[str, str]]:
    """The labels of the WHATWG's Encoding Standard, and a codec of Python that reads each."""
    lines = (Path(__file__).parent / "labels.txt").read_text().splitlines()
    return [(label, codec) for codec, _, labels in (line.partition(": ") for line in lines) for label in labels.split()]


def test_every_label_of_the_web_is_known() -> None:
    assert len(dict(_labels())) == 228
    for label, codec in _labels():
        found = _codec(label)
        assert found and codecs.lookup(found).name == codecs.lookup(codec).name, label
        assert _codec(label.upper()) == found


def test_one_broken_character_spoils_no_other() -> None:
    octets = RUSSIAN.encode()
    assert charset_text(octets[:-1], "utf-8") == RUSSIAN[:-1] + "\ufffd"
    assert raw_text(octets + b"\xff" + octets) == f"{RUSSIAN}\ufffd{RUSSIAN}"


@given(st.binary(max_size=200), st.sampled_from([*sorted(_MODULES), "utf-8", "", "unknown"]))
def test_never_raises(octets: bytes, charset: str) -> None:
    charset_text(octets, charset).encode()


@given(st.binary(), st.one_of(st.text(), st.binary()))
def test_never_raises_for_any_name(octets: bytes, charset: str | bytes) -> None:
    charset_text(octets, charset).encode()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Grüße", "GRÜSSE"),
        ("Stra\xdfe", "strasse"),
        ("e\u0301t\u00e9", "\u00e9te\u0301"),
        ("ﬁne", "FINE"),
        ("Ａ１", "a1"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("a \t\r\n b", "A B"),
        ("\u00a0a\u2003b ", "a b"),
        ("\u0130", "i\u0307"),
        ("q\u0307\u0323", "q\u0323\u0307"),
    ],
)
def test_fold(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("text", "needle"), [("Überall", "über"), ("x\r\n  y z", "X Y"), ("naïve", "NAÏVE")])
def test_a_needle_is_in_the_text(text: str, needle: str) -> None:
    assert fold(needle) in fold(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_folded_is_folded(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert folded == " ".join(folded.split())
    assert fold(text.upper().lower()) == fold(text.lower().upper().lower())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("abc", "ABC"),
        ("_[x]", "_[X]"),
        (" two\t\r\n words ", "TWO WORDS"),
        ("äÄ", "A\u0308A\u0308"),
        ("\u01c6", "Dz\u030c"),  # RFC 5051 2: its titlecase is U+01C5, which is then taken apart
        ("\u01c4", "Dz\u030c"),
        ("ß", "ß"),
        ("ﬁ", "fi"),
        ("Ａ１", "A1"),
        ("σς", "ΣΣ"),
        ("\u00a0\u00e9", "E\u0301"),
    ],
)
def test_collated(text: str, form: str) -> None:
    """RFC 5051 2: titlecase of each character, then its decomposition."""
    assert collated(text) == form


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_collated_is_on_one_line(text: str) -> None:
    form = collated(text)
    assert form == " ".join(form.split())
    assert len(form) <= 18 * len(text)


@given(st.text(alphabet="aé\u0301\u0316\u0344\u0327\ufdfaジ가 ", min_size=300, max_size=3000))
def test_long_words_fold_as_short_ones(text: str) -> None:
    assert fold(text) == " ".join(unicodedata.normalize("NFKD", text).casefold().split())


@pytest.mark.parametrize(
    "words", [["a\u00c9", "\ufdfa", "\u00a8", "e\u0301"], ["\u00a8"], ["\ufdfa" * 300, "x"], ["\u2003"]]
)
def test_many_words_fold_as_few(words: list[str]) -> None:
    text = " ".join(words * 1501)
    assert fold(text) == " ".join(unicodedata.normalize("NFKD", text).casefold().split())
