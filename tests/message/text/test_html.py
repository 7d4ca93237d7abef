import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.text import html_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("<b>bo</b>ld", "bold"),
        ("a<br>b", "a b"),
        ("<p>a</p><p>b</p>", "a b"),
        ("<td>a</td><td>b</td>", "a b"),
        ("a &amp; b &lt;c&gt; &eacute;&nbsp;&#8364; &#x41;", "a & b <c> é € A"),
        ("&#55555; &#0; &#99999999999; &nonsense; &", "\ufffd \ufffd \ufffd &nonsense; &"),
        ("<head><title>T</title><style>p{}</style></head><body>B", "B"),
        ("<script>if (a<b) x('</p>')</script>y", "y"),
        ("a<SCRIPT>x</sCript >b", "ab"),
        ("İ<SCRIPT>x</SCRIPT>y", "İy"),
        ("a<style>b", "a"),
        ("<title>a", "a"),
        ("<head>a<header>b</header>c", "a b c"),
        ("a<!-- <p>b</p> -->c", "ac"),
        ("a<!-->b<!--->c", "abc"),
        ("a<!-- b", "a"),
        ("<!DOCTYPE html><?xml x?>a", "a"),
        ("<![if mso]>a<![endif]>", "a"),
        ('<img alt="a > b">c', "c"),
        ("<img alt = 'a > b' x>c", "c"),
        ('<a href="x>y</a>', "y"),
        ('<a title="it"s>here</a> <b title="x">y</b>', "here y"),
        ("1 < 2 > 3 <3", "1 < 2 > 3 <3"),
        ("a</ b>c</>d", "acd"),
        ("a<b", "a"),
        ("<", "<"),
        ("<o:p>a</o:p>", "a"),
        ("<template>a</template>b", "b"),
    ],
)
def test_html_text(html: str, text: str) -> None:
    assert " ".join(html_text(html).split()) == text


@pytest.mark.parametrize("number", ["9" * 5000, "x" + "f" * 5000, "0" * 5000 + "65"])
def test_numbers_of_any_length(number: str) -> None:
    """Python's unescape() raises ValueError for those of more than 4300 digits."""
    assert html_text(f"a&#{number};b&#{number} c") == "a\ufffdb\ufffd c"


PIECES = ["<", ">", "/", "!--", "-->", "a", "script", "</script", "'", '"', "=", " ", "&", "#", "x", "9", ";", "style"]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_never_raises(html: str) -> None:
    html_text(html)


@given(st.text(st.characters(exclude_characters="<&")))
def test_text_stays_text(text: str) -> None:
    assert html_text(text) == text
