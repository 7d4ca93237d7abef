"""Read the configuration: defaults, then the file, then the environment; every mistake is found before any is reported.

config = load(path, environment)      raises ConfigError with all problems
config.settings.smtp.max_size         52428800
config.origins["smtp.max_size"]       "posthouse.toml:14", "POSTHOUSE_SMTP__MAX_SIZE" or "default"
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posthouse.app.config import kinds
from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.kinds import Kind
from posthouse.app.config.problems import ConfigError, Problem, in_order
from posthouse.app.config.settings import Settings
from posthouse.app.config.sources import (
    Given,
    declared,
    families,
    from_environment,
    from_file,
    is_secret,
    kind_of,
    named,
)
from posthouse.message.printable import printable

DEFAULT_FILE = Path("/etc/posthouse/posthouse.toml")


@dataclass(frozen=True, slots=True)
class Config:
    """The settings and where each came from. `file` is None when there was none to read."""

    settings: Settings
    file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[tuple[str, str], Given] = field(default_factory=dict)  # (section, key) -> what somebody wrote
    unread: tuple[Problem, ...] = ()  # secrets whose files could not be read; their values are empty


def load(file: Path | None, environment: Mapping[str, str], *, name: str | None = None, secrets: bool = True) -> Config:
    """Read and check everything. `file` None: defaults and environment alone; `name` is what errors call the file.

    Without `secrets` those that cannot be read are no reason to fail, for a command that needs none.
    """
    problems: list[Problem] = []
    unread: list[Problem] = []
    given: dict[tuple[str, str], Given] = {}
    if file is not None:
        given.update(from_file(file, name or str(file), problems))
    given.update(from_environment(environment, problems))
    values, origins = _checked(given, problems, problems if secrets else unread)
    sections = {section: factory(**values[section]) for section, factory in _sections().items()}
    for family, factory in families().items():
        begin = f"{family}."
        sections[family] = {
            name.removeprefix(begin): factory(**found) for name, found in values.items() if name.startswith(begin)
        }
    settings = Settings(**sections)
    _cross_check(settings, given, problems)
    if problems:
        raise ConfigError(in_order(problems))
    return Config(settings, file, origins, given, tuple(unread))


def _sections() -> dict[str, Any]:
    return {section.name: section.default_factory for section in dataclasses.fields(Settings) if not section.metadata}


def _checked(
    given: dict[tuple[str, str], Given], problems: list[Problem], unread: list[Problem]
) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
    values: dict[str, dict[str, object]] = {section: {} for section in _sections()}
    origins: dict[str, str] = {}
    several = dict.fromkeys(section for section, _ in given if "." in section)  # in the order of the file
    values.update({section: {} for section in several})
    for section, name, key in [*declared(), *named(several)]:
        origins[f"{section}.{name}"] = "default"
        if is_secret(key) and (section, f"{name}_file") in given:
            given[(section, name)] = _secret_of(f"{section}.{name}", given[(section, f"{name}_file")], unread)
        entry = given.get((section, name))
        if entry is None:
            continue
        origins[f"{section}.{name}"] = entry.origin
        found = _read(f"{section}.{name}", kind_of(key), entry, problems)
        if found is not _WRONG:
            values[section][name] = found
    return values, origins


_WRONG = object()


def _read(name: str, kind: Kind[Any], entry: Given, problems: list[Problem]) -> object:
    if kind.items is not None and isinstance(entry.value, list):
        items = [_read_one(name, kind.items, item, entry, at, problems) for at, item in enumerate(entry.value)]
        return _WRONG if any(item is _WRONG for item in items) else tuple(items)
    return _read_one(name, kind, entry.value, entry, None, problems)


def _read_one(
    name: str, kind: Kind[Any], value: object, entry: Given, item: int | None, problems: list[Problem]
) -> object:
    try:
        return kind.read(value)
    except ValueError as error:
        got = "***" if kind is kinds.SECRET else _format_value(value)
        problems.append(entry.problem(f"{name}: expected {error}, got {got}", advice=kind.help, item=item))
        return _WRONG


def _format_value(value: object) -> str:
    if isinstance(value, str):
        return f'"{printable(value)}"'
    if isinstance(value, bool):
        return str(value).lower()
    return printable(str(value))


def _secret_of(name: str, entry: Given, problems: list[Problem]) -> Given:
    """Read a secret from the file that KEY_file names; its last line break is not part of it."""
    text, reason, advice = "", "", ""
    try:
        text = Path(str(entry.value)).read_text().rstrip("\r\n")
        reason = "" if text else "it is empty"
    except PermissionError:
        reason, advice = "Permission denied", "run it as root: a server reads its secrets before it gives up root"
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not text"
    if reason:
        message = f"{name}_file: {_format_value(entry.value)} cannot be read: {reason}"
        problems.append(entry.problem(message, advice=advice))
    return dataclasses.replace(entry, value=text, spots=entry.spots[:1])


def _cross_check(settings: Settings, given: dict[tuple[str, str], Given], problems: list[Problem]) -> None:
    """Check what concerns several settings at once."""
    tls = settings.tls
    for missing, there in (("key", "certificate"), ("certificate", "key")):
        if ("tls", there) in given and getattr(tls, there) and not getattr(tls, missing):
            text = f"tls.{missing}: missing, since tls.{there} is set"
            problems.append(given[("tls", there)].problem(text, advice="a certificate and its key go together"))
    _check_twice(settings, given, problems)
    if settings.server.data is None and ("server", "data") in given:
        problems.append(given[("server", "data")].problem("server.data: expected a folder, got nothing"))


def _check_twice(settings: Settings, given: dict[tuple[str, str], Given], problems: list[Problem]) -> None:
    """Two services at one place: told at the one that somebody wrote."""
    seen: dict[Endpoint, tuple[str, str, int]] = {}
    for section, name, _ in declared():
        if not name.startswith("listen"):
            continue
        for at, endpoint in enumerate(getattr(getattr(settings, section), name)):
            here = (section, name, at)
            other = seen.setdefault(endpoint, here)
            if other == here or (endpoint.port == 0 and not endpoint.path):
                continue
            if (section, name) not in given:
                here, other = other, here
            text = f"{here[0]}.{here[1]}: {endpoint} is already taken by {other[0]}.{other[1]}"
            advice = "each service needs an address or a port of its own"
            problems.append(given[here[:2]].problem(text, item=here[2], advice=advice))
