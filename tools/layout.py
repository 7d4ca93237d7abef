"""Check docs/layout.md and tests/where.toml against the tree.

Rules, one finding a line on stderr, exit 1 when there is any:
- docs/layout.md has a row for each room (a folder of src/posthouse) and each folder beside src, and for no other;
- each module of MODULE lines and more is tested: a file of tests/ROOM is named after it (test_NAME.py, test_NAME_*.py)
  or imports it, or tests/where.toml says where it is tested, by its path or that of its folder;
- each line of tests/where.toml is needed, and what it names is there.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "posthouse"
TESTS = ROOT / "tests"
WHERE = TESTS / "where.toml"
MODULE = 40  # lines
_ROW = re.compile(r"^\| `([a-z/_]+)/` \|")


def folder_faults() -> list[str]:
    """What the table of folders lacks, and what it has too much."""
    rows = {match[1] for line in (ROOT / "docs" / "layout.md").read_text().splitlines() if (match := _ROW.match(line))}
    files = [path for path in SOURCE.rglob("*.py") if len(path.relative_to(SOURCE).parts) > 1]
    there = {f"src/posthouse/{path.relative_to(SOURCE).parts[0]}" for path in files}
    there |= {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "src"}
    unnamed = [name for name in sorted(there) if not any(f"{row}/".startswith(f"{name}/") for row in rows)]
    faults = [f"docs/layout.md has no row for {name}/, nor for what is in it" for name in unnamed]
    gone = [name for name in sorted(rows) if not (ROOT / name).is_dir()]
    return faults + [f"docs/layout.md has a row for {name}/, which is not there" for name in gone]


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, by their paths below src/posthouse without ".py"."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "posthouse":
            found.add(node.module)
            found.update(f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
    return {"/".join(name.split(".")[1:]) for name in found if name.startswith("posthouse.")}


def tests_of_rooms() -> tuple[dict[Path, set[str]], dict[str, set[str]]]:
    """By folder of tests/ the names of its test files without "test_", and by room the modules that these import."""
    names: dict[Path, set[str]] = defaultdict(set)
    modules: dict[str, set[str]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        place = path.relative_to(TESTS)
        names[place.parent].add(path.stem.removeprefix("test_"))
        modules[place.parts[0]] |= imported(path)
    return names, modules


def is_named(module: Path, names: dict[Path, set[str]]) -> bool:
    """Whether a test file bears the name of a module: in the folder that mirrors its own, or in one above it."""
    found = {name for folder in module.parents for name in names.get(folder, ())}
    return any(name == module.name or name.startswith(f"{module.name}_") for name in found)


def untested() -> list[str]:
    """The modules, below src/posthouse, that no test of their room names or imports."""
    names, modules = tests_of_rooms()
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).with_suffix("")
        if path.name.startswith("__") or len(path.read_text().splitlines()) < MODULE:
            continue
        room = module.parts[0]
        if module.as_posix() not in modules[room] and not is_named(module, names):
            found.append(module.as_posix())
    return found


def test_faults() -> list[str]:
    """Modules without a test, and lines of where.toml that are not true or not needed."""
    stated: dict[str, str] = tomllib.loads(WHERE.read_text())["tested"]
    needed: set[str] = set()
    faults = []
    for module in untested():
        line = module if module in stated else next((key for key in stated if module.startswith(f"{key}/")), None)
        if line is None:
            faults.append(f"src/posthouse/{module}.py has no test of its own, and tests/where.toml does not name it")
        else:
            needed.add(line)
    for line, places in stated.items():
        if line not in needed:
            faults.append(f"tests/where.toml: {line} is not there, or is tested by its own test: remove the line")
        gone = [place for place in places.split() if not (TESTS / place).exists()]
        faults += [f"tests/where.toml: {line} names {place}, which is not there" for place in gone]
    return faults


def main() -> int:
    """Compare; print findings."""
    faults = folder_faults() + test_faults()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"layout: {len(faults)} findings")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
