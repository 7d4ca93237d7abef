"""Prose of the documents has lines of at most 120 columns; with --fix, longer ones are filled again.

Left alone: tables, code, headings, and a line that is one word or one link.
"""

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 120
_ITEM = re.compile(r"( *)([-*] +|\d+\. +)?")
_ALONE = re.compile(r"\s*(```|\||#|    |!\[|<|$)")


def documents() -> list[Path]:
    """All of them: in the root and in docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def is_item(line: str) -> bool:
    """Whether an item of a list begins there."""
    found = _ITEM.match(line)
    return found is not None and bool(found[2])


def blocks(text: str) -> list[tuple[int, list[str]]]:
    """(number of the first line, lines) of each paragraph and item; of code, tables and headings line by line."""
    found: list[tuple[int, list[str]]] = []
    in_code = is_open = False
    for number, line in enumerate(text.split("\n"), 1):
        in_list = is_open and is_item(found[-1][1][0])
        is_fence = line.lstrip().startswith("```")
        is_alone = in_code or is_fence or (bool(_ALONE.match(line)) and not (in_list and line.strip()))
        in_code ^= is_fence
        if is_open and not is_alone and not is_item(line):
            found[-1][1].append(line)
        else:
            found.append((number, [line]))
        is_open = not is_alone
    return found


def is_prose(line: str, in_code: bool) -> bool:
    """Whether a line could have been broken."""
    return not in_code and not _ALONE.match(line) and " " in line.strip()


def long_lines(text: str) -> list[int]:
    """The numbers of the lines that are too long."""
    found, in_code = [], False
    for number, line in enumerate(text.split("\n"), 1):
        in_code ^= line.lstrip().startswith("```")
        if len(line) > WIDTH and is_prose(line, in_code):
            found.append(number)
    return found


def filled(text: str) -> str:
    """The text with each paragraph and item that has a long line filled again."""
    long = set(long_lines(text))
    out: list[str] = []
    for first, lines in blocks(text):
        if not long.intersection(range(first, first + len(lines))):
            out += lines
            continue
        item = _ITEM.match(lines[0])
        assert item is not None
        words = " ".join(line.strip() for line in lines)[len(item[2] or "") :]
        head, tail = item[0], " " * len(item[0])
        out += textwrap.wrap(
            words,
            WIDTH,
            initial_indent=head,
            subsequent_indent=tail,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(out)


def main() -> int:
    """Look through all documents; print findings, or correct them."""
    faults = 0
    for path in documents():
        text = path.read_text()
        if "--fix" in sys.argv[1:]:
            text = filled(text)
            path.write_text(text)
        for number in long_lines(text):
            faults += 1
            print(
                f"{path.relative_to(ROOT)}:{number}: more than {WIDTH} columns (tools/prose.py --fix)", file=sys.stderr
            )
    print(f"prose: {faults} findings")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
