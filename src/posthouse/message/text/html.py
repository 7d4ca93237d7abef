"""The text of HTML that a reader would see. Linear in its length, whatever it holds."""

import re
from html import unescape

_HIDDEN = ("script", "style", "head", "title", "template")
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")
_BREAKS = frozenset(
    [
        "address",
        "blockquote",
        "br",
        "dd",
        "div",
        "dt",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    ]
)


def html_text(html: str) -> str:
    """Without tags, comments, scripts and styles; entities as the characters they stand for."""
    out: list[str] = []
    at, length = 0, len(html)
    lowered = html.lower() if "<" in html else ""
    if len(lowered) != length:
        lowered = html  # some capitals have long small letters: then only tags in small letters are known
    hopeless: set[str] = set()
    while at < length:
        start = html.find("<", at)
        if start < 0:
            out.append(html[at:])
            break
        out.append(html[at:start])
        at = _behind(html, lowered, start, out, hopeless)
    return unescape("".join(out))


def _behind(html: str, lowered: str, start: int, out: list[str], hopeless: set[str]) -> int:
    """Where the text goes on behind the tag or comment that starts here. `hopeless`: ends that do not come any more."""
    if html.startswith("<!--", start):
        return _past(html, "-->", start + 4, hopeless)
    if html.startswith(("<!", "<?"), start):
        return _past(html, ">", start + 2, hopeless)
    tag = _TAG.match(html, start)
    if tag is None:
        out.append("<")
        return start + 1
    name = tag.group(1).lower()
    if name in _BREAKS:
        out.append("\n")
    end = _past(html, ">", tag.end(), hopeless)
    if name in _HIDDEN and html[start + 1] != "/":
        closing = f"</{name}"
        if closing not in hopeless:
            at = lowered.find(closing, end)
            if at >= 0:
                return _past(html, ">", at, hopeless)
            hopeless.add(closing)
        if name in ("script", "style"):
            return len(html)
    return end


def _past(html: str, mark: str, at: int, hopeless: set[str]) -> int:
    if mark not in hopeless:
        found = html.find(mark, at)
        if found >= 0:
            return found + len(mark)
        hopeless.add(mark)
    return len(html)
