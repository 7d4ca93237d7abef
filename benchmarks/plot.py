"""The table as a picture: horizontal bars, each row on a scale of its own, as SVG written by hand."""

from collections.abc import Collection
from xml.sax.saxutils import escape

from benchmarks.report import Measured, number
from benchmarks.rows import ROWS

WIDTH, MARGIN, TEXT = 960, 24, 400
BAR, GAP, HEAD = 15, 16, 34
COLOURS = ("#1b6ca8", "#c9a227", "#7a8b99", "#b3554a")
# What people ask first: one sender, many, collecting mail, a new device, searching, and what waiting clients cost.
HEADLINES = ("in-4k-1", "in-4k-20", "pop3-all", "imap-sync", "imap-search-text", "imap-idle-memory")
INK, FAINT = "#1f2933", "#616e7c"


def _text(
    x: float, y: float, words: str, *, size: int = 13, colour: str = INK, anchor: str = "start", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    place = f'x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}"{weight}>{escape(words)}</text>'


def _bars(measured: Measured, name: str, top: float) -> list[str]:
    """The bars of one row, as long as their share of the longest."""
    medians = [(label, measured.median(name, label)) for label in measured.labels]
    longest = max(value for _, value in medians if value is not None)
    room = WIDTH - TEXT - MARGIN - 150
    parts = []
    for n, (_, value) in enumerate(medians):
        if value is None:
            continue
        y = top + n * BAR
        length = max(2.0, room * value / longest)
        parts.append(
            f'<rect x="{TEXT}" y="{y + 1:.0f}" width="{length:.1f}" height="{BAR - 2}" rx="2" fill="{COLOURS[n % 4]}"/>'
        )
        parts.append(_text(TEXT + length + 6, y + BAR - 4, f"{number(value)} {ROWS[name].unit}", size=11, colour=FAINT))
    return parts


def _row(measured: Measured, name: str, top: float) -> list[str]:
    middle = top + BAR * len(measured.labels) / 2 + 4
    parts = [_text(TEXT - 12, middle, ROWS[name].title, size=12, anchor="end"), *_bars(measured, name, top)]
    if ratio := measured.ratio(name):
        parts.append(_text(WIDTH - MARGIN, middle, f"{ratio:.1f}x", anchor="end", bold=True))
    return parts


def _legend(measured: Measured) -> list[str]:
    parts, x = [], float(TEXT)
    for n, label in enumerate(measured.labels):
        parts.append(f'<rect x="{x:.0f}" y="40" width="12" height="12" rx="2" fill="{COLOURS[n % 4]}"/>')
        parts.append(_text(x + 18, 51, label))
        x += 40 + 8 * len(label)
    return parts


def draw(measured: Measured, caption: str, rows: Collection[str] = tuple(ROWS)) -> str:
    """The picture of these rows, as far as they were measured."""
    parts, y = [_text(MARGIN, 28, "Posthouse: speed", size=18, bold=True), *_legend(measured)], 70.0
    for title, higher in (("more is better", True), ("less is better", False)):
        names = [name for name in measured.rows() if name in rows and ROWS[name].higher_is_better is higher]
        if not names:
            continue
        parts.append(_text(MARGIN, y + 16, title, size=12, colour=FAINT, bold=True))
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y + 22:.0f}" y2="{y + 22:.0f}" stroke="#d3dae0"/>'
        )
        y += HEAD
        for name in names:
            parts += _row(measured, name, y)
            y += BAR * len(measured.labels) + GAP
    parts.append(_text(MARGIN, y + 14, caption, size=11, colour=FAINT))
    height = y + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" '
        'font-family="system-ui, Helvetica, Arial, sans-serif" role="img">\n'
        f"<title>Posthouse: speed</title>\n"
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def pictures(measured: Measured, caption: str) -> dict[str, str]:
    """By file name: all rows, and those that the README shows."""
    return {"bench.svg": draw(measured, caption), "headlines.svg": draw(measured, caption, HEADLINES)}
