"""Check docs/rfc-index.md against the source: every RFC cited is listed, every RFC claimed is cited.

Rules, one finding a line on stderr, exit 1 when there is any:
- a row is `| number | title | state | where | note |`, numbers ascending;
- state is Yes, Partial or No; Partial and No say in the note what is missing;
- Yes and Partial name the files that obey it, and each of these cites the number;
- each "RFC number" in src/ has a row.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\| *(\d+) *\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$")
CITED = re.compile(r"\bRFC (\d{3,5})\b")


def cited_in(path: Path) -> set[int]:
    """The RFC numbers that a source file names."""
    return {int(number) for number in CITED.findall(path.read_text())}


def check_row(line: str, number: int, state: str, where: str, note: str) -> list[str]:
    """What is wrong with one row."""
    faults = []
    if state not in {"Yes", "Partial", "No"}:
        faults.append(f"RFC {number}: state is {state!r}, not Yes, Partial or No")
    if state != "Yes" and not note:
        faults.append(f"RFC {number}: {state} without a note on what is missing")
    files = re.findall(r"`([^`]+)`", where)
    if state != "No" and not files:
        faults.append(f"RFC {number}: no file named in {line!r}")
    for name in files:
        path = ROOT / "src" / "posthouse" / name
        if not path.is_file():
            faults.append(f"RFC {number}: {name} is not in src/posthouse")
        elif number not in cited_in(path):
            faults.append(f"RFC {number}: {name} does not cite it")
    return faults


def main() -> int:
    """Compare both ways; print findings."""
    faults: list[str] = []
    rows: dict[int, str] = {}
    for line in (ROOT / "docs" / "rfc-index.md").read_text().splitlines():
        if not (match := ROW.match(line)):
            continue
        number = int(match[1])
        state, where, note = (match[n].strip() for n in (3, 4, 5))
        if rows and number <= max(rows):
            faults.append(f"RFC {number}: rows must ascend, each number once")
        rows[number] = state
        faults += check_row(line, number, state, where, note)
    for path in sorted((ROOT / "src").rglob("*.py")):
        for number in sorted(cited_in(path)):
            if number not in rows:
                faults.append(f"{path.relative_to(ROOT)} cites RFC {number}, which docs/rfc-index.md does not list")
    for fault in faults:
        print(f"rfc-index: {fault}", file=sys.stderr)
    held = sum(state != "No" for state in rows.values())
    print(f"rfc-index: {len(rows)} rows, {held} held, {len(faults)} findings")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
