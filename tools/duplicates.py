"""No six lines stand twice in src/, but for those that tools/duplicates.txt lists with a reason.

What counts as a line: code with its white space folded; not blank lines, comments, docstrings, imports, lines of
brackets alone, and the parameters of functions, which an interface and its implementations must share. Six of these
in a row that stand elsewhere too, to the letter, are a finding. So are lines of duplicates.txt that are not needed any
more: the list shrinks with what it allows.

duplicates.txt has a block per reason: "# reason", then lines "path ~ path" (a file may be paired with itself).
"""

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "posthouse"
ALLOWED = ROOT / "tools" / "duplicates.txt"
LINES = 6
_THIN = re.compile(r"[\[\](){},:.]*|from .* import .*|import .*|(try|else|finally|pass|continue|break|return|yield):?")

Line = tuple[int, str]  # number, text
Pair = tuple[str, str]


def left_out(text: str) -> set[int]:
    """The lines of docstrings, imports and parameter lists."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if (is_text or isinstance(node, (ast.Import, ast.ImportFrom))) and isinstance(node, ast.stmt):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.update(range(node.lineno, node.body[0].lineno))
    return found


def lines_of(text: str) -> list[Line]:
    """What counts of a file, in order."""
    passed = left_out(text)
    found: list[Line] = []
    rows = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            number, column = token.start
            rows[number - 1] = rows[number - 1][:column]
    for number, row in enumerate(rows, 1):
        line = " ".join(row.split())
        if number not in passed and not _THIN.fullmatch(line):
            found.append((number, line))
    return found


def duplicates(files: dict[str, list[Line]]) -> dict[Pair, list[str]]:
    """For each pair of files the places they share, "path:line ~ path:line"; the longest run first in the file."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for path, lines in files.items():
        for at in range(len(lines) - LINES + 1):
            places[tuple(text for _, text in lines[at : at + LINES])].append((path, at))
    shared: dict[Pair, set[tuple[int, int]]] = defaultdict(set)
    for found in places.values():
        for (one, at), (other, there) in combinations(found, 2):
            if one != other or there - at >= LINES:
                shared[one, other].add((at, there))
    listed: dict[Pair, list[str]] = {}
    for (one, other), runs in shared.items():
        begins = sorted((at, there) for at, there in runs if (at - 1, there - 1) not in runs)
        listed[one, other] = [f"{one}:{files[one][a][0]} ~ {other}:{files[other][b][0]}" for a, b in begins]
    return listed


def allowed() -> tuple[set[Pair], list[str]]:
    """The pairs that may share lines, and what is wrong with the list."""
    pairs: set[Pair] = set()
    faults: list[str] = []
    reason = ""
    for number, line in enumerate(ALLOWED.read_text().splitlines(), 1):
        if line.startswith("#"):
            reason = line.strip("# ")
        elif line.strip():
            one, mark, other = line.strip().partition(" ~ ")
            if not mark or not reason:
                faults.append(f"tools/duplicates.txt:{number}: expected a reason above, and: path ~ path")
            pairs.add((one, other) if one <= other else (other, one))
    return pairs, faults


def main() -> int:
    """Compare; print findings."""
    files = {path.relative_to(SOURCE).as_posix(): lines_of(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
    found = duplicates(files)
    pairs, faults = allowed()
    for pair, places in found.items():
        if pair not in pairs:
            faults += [f"{place}: {LINES} lines or more are the same; give them one place" for place in places]
    faults += [f"tools/duplicates.txt: {one} ~ {other} share nothing" for one, other in sorted(pairs - set(found))]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"duplicates: {len(files)} files, {len(found)} pairs allowed, {len(faults)} findings")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
