"""What commands write: data to standard output, chatter to standard error; colour only on a terminal."""

import os
import sys
import textwrap
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

from posthouse.message.printable import printable

LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal

_STYLES = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33", "cyan": "36"}


def has_colour(stream: TextIO) -> bool:
    """Whether escape sequences may be written: to a terminal, unless NO_COLOR says no (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO) -> str:
    """Dress `text` where `stream` can show it."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if has_colour(stream) else text


def error(text: str, fix: str = "") -> None:
    """Tell a failure on standard error: one "error:" line, and below it what to do."""
    print(styled("error:", "red", sys.stderr), printable(text).replace("\n", " "), file=sys.stderr)
    if fix:
        print(f"       {printable(fix)}", file=sys.stderr)


def note(text: str) -> None:
    """Say something beside the data."""
    print(text, file=sys.stderr)


def hint(text: str) -> None:
    """Say what usually comes next; only to a person, so that scripts stay quiet."""
    if sys.stderr.isatty():
        print(styled(f"Next: {text}", "dim", sys.stderr), file=sys.stderr)


def document(value: object) -> None:
    """Write one JSON document on one line."""
    import json  # most commands write none

    print(json.dumps(value, default=str), flush=True)


def octets(data: bytes) -> None:
    """Write data as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def listing(
    columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str, *, below: Collection[str] = ()
) -> None:
    """Write rows below their headings, as wide as needed; `empty` is said instead, as chatter, when there are none.

    Where the terminal is not wide enough the columns named by `below` stand on lines of their own under each row.
    Without a terminal there are no headings and a tab stands between the columns: that is for cut and awk.
    """
    texts = [[printable("" if value is None else str(value)) for value in row] for row in rows]
    if not rows:
        note(empty)
        return
    if not sys.stdout.isatty():
        for row in texts:
            print("\t".join(row))
        return
    import shutil  # with all its ways to compress

    width = shutil.get_terminal_size().columns
    widths = [max(len(row[at]) for row in [list(columns), *texts]) for at in range(len(columns))]
    beside = [at for at, name in enumerate(columns) if name not in below]
    if not below or sum(widths) + 2 * (len(widths) - 1) <= width:
        beside = list(range(len(columns)))
    beside_widths = [widths[at] for at in beside]
    print(styled(_padded([columns[at] for at in beside], beside_widths), "dim", sys.stdout))
    for row in texts:
        print(_padded([row[at] for at in beside], beside_widths))
        for at in range(len(columns)):
            if at not in beside and row[at]:
                print(_below(f"{columns[at]}: {row[at]}", width))


def _below(text: str, width: int) -> str:
    return textwrap.fill(
        text, max(width, 20), initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False
    )


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def fields(values: Mapping[str, object]) -> None:
    """Write names and values, one pair a line."""
    width = max(len(name) for name in values)
    for name, value in values.items():
        print(f"{styled(name.ljust(width), 'dim', sys.stdout)}  {printable(str(value))}")


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far long work is; the block gets advance(done, total).

    On a terminal as a bar, elsewhere (a pipe, a file, a journal) as a line now and then.
    """
    if not sys.stderr.isatty():
        yield _lines_of_progress(text)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines_of_progress(text: str) -> Callable[[int, int], None]:
    """Says nothing of what takes a few seconds."""
    due = time.monotonic() + LINE_SECONDS

    def advance(done: int, total: int) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + LINE_SECONDS
            print(f"{text}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    return advance
