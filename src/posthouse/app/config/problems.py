"""Mistakes in the configuration, each with its place, what was expected, the line, a caret, and help."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posthouse.message.printable import printable

if TYPE_CHECKING:
    from posthouse.app.config.positions import Place


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `source` is the file's name as given, or the name of an environment variable (then no `place`)."""

    source: str
    text: str
    place: "Place | None" = None
    line: str = ""  # the whole line as it stands
    help: str = ""

    def render(self) -> str:
        """Tell it as "file:line:column: error: ...", with the line and a caret below."""
        if self.place is None:
            head = f"{self.source}: error: {self.text}"
        else:
            head = f"{self.source}:{self.place.line}:{self.place.column}: error: {self.text}"
        rows = [head]
        if self.place is not None and self.line.strip():
            number = f"{self.place.line:5d}"
            # A tab before the caret stays a tab, so that the caret stands below its place on any terminal.
            gap = "".join("\t" if char == "\t" else " " for char in self.line[: self.place.column - 1])
            rows.append(f"{number} | {printable(self.line.rstrip())}")
            rows.append(f"{' ' * len(number)} | {gap}{'^' * self.place.length}")
        if self.help:
            rows.append(f"help: {self.help}")
        return "\n".join(rows)

    def as_json(self) -> dict[str, object]:
        """The same for machines."""
        place = None if self.place is None else {"line": self.place.line, "column": self.place.column}
        return {"source": self.source, "place": place, "error": self.text, "help": self.help}


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """As they stand in the file; those without a place last."""
    return sorted(problems, key=lambda problem: problem.place.line if problem.place else 1 << 30)


def nearest(word: str, words: Iterable[str]) -> str:
    """Say which of `words` was probably meant: 'did you mean "x"?', or nothing."""
    import difflib  # only ever needed to tell a mistake

    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f'did you mean "{found[0]}"?' if found else ""


class ConfigError(Exception):
    """The configuration holds mistakes; all of them are told at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n\n".join(problem.render() for problem in problems))
        self.problems = tuple(problems)
