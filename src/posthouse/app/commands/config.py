"""posthouse config check | show."""

import datetime
import json
import os

from posthouse.app import output
from posthouse.app.commands.preflight import look
from posthouse.app.commands.where import NOWHERE, AsJson, Where
from posthouse.app.config.loading import Config
from posthouse.app.config.problems import ConfigError, in_order
from posthouse.app.config.sources import declared, families, kind_of, named
from posthouse.app.errors import Exit


def check_(*, where: Where = NOWHERE, as_json: AsJson = False) -> int:
    """Report every mistake in the configuration, and what in it cannot work on this machine: exit code 78."""
    try:
        config = where.load(secrets=True)
        found = look(config, datetime.datetime.now(datetime.UTC))
        if found.problems:
            raise ConfigError(in_order(found.problems))
    except ConfigError as error:
        if not as_json:
            raise
        problems = [problem.as_json() for problem in error.problems]
        output.document({"version": 1, "ok": False, "problems": problems, "notes": []})
        return Exit.CONFIG
    if as_json:
        output.document({"version": 1, "ok": True, "problems": [], "notes": found.notes})
        return Exit.OK
    for note in found.notes:
        output.note(f"note: {note}")
    output.note(f"{config.file or 'the defaults'}: no mistakes")
    if os.geteuid() != 0 and config.settings.server.user:
        output.note("If root starts the server, run it as root: it looks at what server.user may read.")
    output.hint("posthouse config show lists every setting and where it comes from.")
    return Exit.OK


def show_(*, where: Where = NOWHERE, as_json: AsJson = False) -> None:
    """Show every setting and where its value comes from. The text is itself a valid configuration file."""
    config = where.load()
    for problem in config.unread:
        output.note(f"{problem.render()}\n")
    if as_json:
        settings = {name: {"value": value, "origin": config.origins[name]} for name, value, _ in _effective(config)}
        output.document({"version": 1, "file": config.file, "settings": settings})
        return
    section = ""
    for name, value, meaning in _effective(config):
        if name.rpartition(".")[0] != section:
            print(f"{chr(10) if section else ''}[{name.rpartition('.')[0]}]")
            section = name.rpartition(".")[0]
        print(f"{name.rpartition('.')[2]} = {_toml(value)}  # {config.origins[name]}: {meaning}")


def _effective(config: Config) -> list[tuple[str, object, str]]:
    settings = config.settings
    parts: dict[str, object] = {section: getattr(settings, section) for section, _, _ in declared()}
    several = {f"{family}.{name}": part for family in families() for name, part in getattr(settings, family).items()}
    parts.update(several)
    return [
        (f"{section}.{name}", kind_of(key).write(getattr(parts[section], name)), key.metadata["meaning"])
        for section, name, key in [*declared(), *named(several)]
    ]


def _toml(value: object) -> str:
    """Write a text, whole number, truth value or list of texts; each reads the same in JSON and TOML."""
    return json.dumps(value, ensure_ascii=False)
