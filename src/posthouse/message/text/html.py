"""The text of HTML that a reader would see. Linear in its length, whatever it holds.

A tag is matched as a whole, quoted attributes and all. A match that fails has looked at all the rest, so few may fail;
from then on a tag ends with the next ">". What was looked for once in vain is not looked for again.
"""

import re
from html import unescape

_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")
_ATTRIBUTES = re.compile(r"""(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+>""")
_MAX_FAILURES = 16
_HIDDEN = {
    name: re.compile(rf"</{name}(?![A-Za-z0-9])", re.IGNORECASE | re.ASCII)
    for name in ("script", "style", "head", "title", "template")
}
_BREAKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "br", "button", "caption", "center", "dd", "details", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hr", "legend", "li", "main", "nav", "ol", "option", "p", "pre", "section", "summary", "table", "td", "tfoot", "th",
    "thead", "tr", "ul",
))  # fmt: skip
# Numbers too long for a character, which Python's unescape() would not even read.
_LONG_NUMBER = re.compile(r"&#(?:[0-9]{8,}+|[xX][0-9A-Fa-f]{8,}+);?")


def html_text(html: str) -> str:
    """Without tags, comments, scripts and styles; entities as the characters they stand for."""
    text = _Scan(html).text() if "<" in html else html
    return unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text


class _Scan:
    def __init__(self, html: str) -> None:
        self._html = html
        self._out: list[str] = []
        self._failures = 0
        self._vain: set[str] = set()  # ends that do not come any more

    def text(self) -> str:
        html, out = self._html, self._out
        at = 0
        while (start := html.find("<", at)) >= 0:
            out.append(html[at:start])
            at = self._behind(start)
        out.append(html[at:])
        return "".join(out)

    def _behind(self, start: int) -> int:
        """Where the text goes on behind the tag or comment that starts here."""
        html = self._html
        tag = _TAG.match(html, start)
        if tag is None:
            return self._no_tag(start)
        name = tag[1].lower()
        if name in _BREAKS:
            self._out.append("\n")
        end = self._end_of_tag(tag.end())
        if name in _HIDDEN and html[start + 1] != "/":
            return self._past_hidden(name, end)
        return end

    def _no_tag(self, start: int) -> int:
        html = self._html
        if html.startswith("<!--", start):
            return self._past("-->", start + 2)  # "<!-->" is one, too
        if html.startswith(("<!", "<?", "</"), start):
            return self._past(">", start + 2)
        self._out.append("<")
        return start + 1

    def _end_of_tag(self, at: int) -> int:
        if self._failures < _MAX_FAILURES:
            found = _ATTRIBUTES.match(self._html, at)
            if found is not None:
                return found.end()
            self._failures += 1  # every > is within quotes
        return self._past(">", at)

    def _past_hidden(self, name: str, at: int) -> int:
        if name not in self._vain:
            closing = _HIDDEN[name].search(self._html, at)
            if closing is not None:
                return self._past(">", closing.end())
            self._vain.add(name)
        return len(self._html) if name in ("script", "style") else at

    def _past(self, mark: str, at: int) -> int:
        if mark not in self._vain:
            found = self._html.find(mark, at)
            if found >= 0:
                return found + len(mark)
            self._vain.add(mark)
        return len(self._html)
