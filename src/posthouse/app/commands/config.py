"""posthouse config check | show."""

import json

from posthouse.app import output
from posthouse.app.commands.where import NOWHERE, AsJson, Where
from posthouse.app.config import Config
from posthouse.app.errors import Exit
from posthouse.app.problems import ConfigError
from posthouse.app.sources import declared, families, kind_of, named


def check_(*, where: Where = NOWHERE, as_json: AsJson = False) -> int:
    """Tell every mistake in the configuration, with its place and how to mend it. Exit code 78 if there is one."""
    try:
        config = where.load()
    except ConfigError as error:
        if not as_json:
            raise
        output.document({"version": 1, "ok": False, "problems": [problem.as_json() for problem in error.problems]})
        return Exit.CONFIG
    if as_json:
        output.document({"version": 1, "ok": True, "problems": []})
    else:
        output.note(f"{config.file or 'the defaults'}: no mistakes")
        output.hint("posthouse config show lists every setting and where it comes from.")
    return Exit.OK


def show_(*, where: Where = NOWHERE, as_json: AsJson = False) -> None:
    """Show every setting and where its value comes from. The text is itself a valid configuration file."""
    config = where.load()
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
