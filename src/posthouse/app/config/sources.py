"""What somebody gave as configuration, from a file or the environment; each value with its place."""

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posthouse.app.config import kinds
from posthouse.app.config.kinds import Kind
from posthouse.app.config.positions import Place, Spot, locate
from posthouse.app.config.problems import ConfigError, Problem, nearest
from posthouse.app.config.settings import Settings
from posthouse.message.printable import printable

ENVIRONMENT_PREFIX = "POSTHOUSE_"


@dataclass(frozen=True, slots=True)
class Given:
    """One value somebody gave, with what an error about it needs."""

    value: object
    origin: str
    source: str
    spots: tuple[Spot, ...] = ()  # of the whole value, then of its items
    lines: tuple[str, ...] = ()

    def problem(self, text: str, *, advice: str = "", item: int | None = None, key: bool = False) -> Problem:
        """Tell a mistake here: about the value, about one `item` of a list, or about the `key`."""
        if not self.spots:
            return Problem(self.source, text, help=advice)
        at = 0 if item is None or item + 1 >= len(self.spots) else item + 1
        place = self.spots[at].key if key else self.spots[at].value
        return Problem(self.source, text, place, self.lines[place.line - 1], advice)


def declared() -> Iterator[tuple[str, str, "dataclasses.Field[Any]"]]:
    """Every setting there is: section, key, and the field with its kind, default and meaning."""
    for section in dataclasses.fields(Settings):
        factory: Any = section.default_factory
        if "each" not in section.metadata:
            for key in dataclasses.fields(factory()):
                yield section.name, key.name, key


def families() -> dict[str, Any]:
    """Sections of which there may be many, each with a name: [route.NAME] -> the class of their settings."""
    return {section.name: section.metadata["each"] for section in dataclasses.fields(Settings) if section.metadata}


def named(sections: Iterable[str]) -> Iterator[tuple[str, str, "dataclasses.Field[Any]"]]:
    """The same as declared() for sections such as "route.world"."""
    for section in sections:
        for key in dataclasses.fields(families()[section.partition(".")[0]]):
            yield section, key.name, key


def kind_of(key: "dataclasses.Field[Any]") -> Kind[Any]:
    """The kind of a declared setting."""
    kind = key.metadata["kind"]
    assert isinstance(kind, Kind)
    return kind


def is_secret(key: "dataclasses.Field[Any]") -> bool:
    """Whether the setting must never be shown, and may come from a file of its own."""
    return key.metadata["kind"] is kinds.SECRET


def _known() -> dict[str, dict[str, "dataclasses.Field[Any]"]]:
    """Sections and keys that may be given; a secret has a twin, KEY_file, that names a file to read it from."""
    known: dict[str, dict[str, dataclasses.Field[Any]]] = {}
    for section, name, key in [*declared(), *named(families())]:
        keys = known.setdefault(section, {})
        keys[name] = key
        if is_secret(key):
            keys[f"{name}_file"] = key
    return known


def from_file(file: Path, name: str, problems: list[Problem]) -> dict[tuple[str, str], Given]:
    """Read a TOML file. Unknown names go to `problems`; raises ConfigError when it cannot be read as TOML at all."""
    text, document = _parsed(file, name)
    lines = tuple(text.split("\n"))
    spots = locate(text)
    given: dict[tuple[str, str], Given] = {}
    known = _known()
    for section, table in document.items():
        # Where only [section.name] stands, the section has no place of its own.
        place = next(spot for path, spot in spots.items() if path[0] == section)
        if section not in known:
            at = Given(table, "", name, (place,), lines)
            problems.append(
                at.problem(f"unknown section [{printable(section)}]", advice=_hint(section, known), key=True)
            )
        elif not isinstance(table, dict):
            at = Given(table, "", name, (place,), lines)
            problems.append(
                at.problem(f"{section}: expected a section", advice=f"write [{section}] on a line of its own")
            )
        elif section in families():
            for each, inner in table.items():
                if isinstance(inner, dict):
                    path = (section, each)
                    given.update(_from_section(path, inner, known[section], name, spots, lines, problems))
                else:
                    at = Given(inner, "", name, (spots[(section, each)],), lines)
                    text = f"{section}.{printable(each)}: expected a section with a name"
                    problems.append(at.problem(text, advice=f"write [{section}.NAME] on a line of its own", key=True))
        else:
            given.update(_from_section((section,), table, known[section], name, spots, lines, problems))
    return given


def _parsed(file: Path, name: str) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file, and what it says."""
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise ConfigError([Problem(name, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([_not_utf8(name, error)]) from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(name, text, str(error))]) from None


def _from_section(
    place: tuple[str, ...],
    table: dict[str, Any],
    keys: Mapping[str, object],
    name: str,
    spots: Mapping[tuple[str | int, ...], Spot],
    lines: tuple[str, ...],
    problems: list[Problem],
) -> dict[tuple[str, str], Given]:
    given = {}
    section = ".".join(place)
    for key, value in table.items():
        path = (*place, key)
        items = len(value) if isinstance(value, list) else 0
        at = (spots[path], *(spots[(*path, index)] for index in range(items)))
        entry = Given(value, f"{name}:{at[0].key.line}", name, at, lines)
        if key not in keys:
            text = f"{section}.{printable(key)}: unknown key"
            problems.append(entry.problem(text, advice=_hint(key, keys), key=True))
        else:
            given[section, key] = entry
    return given


def _hint(word: str, words: Mapping[str, object]) -> str:
    return nearest(word, words) or "known: " + ", ".join(words)


def _not_utf8(name: str, error: UnicodeDecodeError) -> Problem:
    before = error.object[: error.start]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    return Problem(name, "not UTF-8", Place(line, column, 1), help="save the file as UTF-8")


def _syntax_problem(name: str, text: str, message: str) -> Problem:
    lines = text.split("\n")
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if match is None:  # "(at end of document)"
        last = max(1, len(lines) - (lines[-1] == ""))
        place = Place(last, len(lines[last - 1]) + 1, 1)
        reason = message.removesuffix(" (at end of document)") + " before the end of the file"
    else:
        place = Place(int(match[2]), int(match[3]), 1)
        reason = match[1]
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    reason = reason.replace("Illegal character '\\n'", "a line break inside a text; is a closing quote missing?")
    return Problem(name, f"not TOML: {reason[:1].lower()}{reason[1:]}", place, line)


def from_environment(environment: Mapping[str, str], problems: list[Problem]) -> dict[tuple[str, str], Given]:
    """Read POSTHOUSE_SECTION__KEY; lists are separated by commas. Names without "__" are not ours to judge."""
    known = _known()
    names = {
        f"{ENVIRONMENT_PREFIX}{section}__{key}".upper(): (section, key)
        for section in known
        if section not in families()
        for key in known[section]
    }
    given = {}
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        if name not in names:
            problems.append(Problem(name, "no such setting", help=nearest(name, names)))
            continue
        section, key = names[name]
        kind = kinds.STRING if key.endswith("_file") else kind_of(known[section][key])
        given[(section, key)] = Given(_environment_value(kind, text), name, name)
    return given


def _environment_value(kind: Kind[Any], text: str) -> object:
    if kind.items is not None:
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind.bare:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            return text
    return text
