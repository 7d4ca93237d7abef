"""SIGHUP: certificates are read again. What else was changed in the configuration is named: it waits for a restart."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from posthouse.app.config.loading import Config
from posthouse.app.config.problems import ConfigError
from posthouse.app.config.sources import declared, families, is_secret, named


@dataclass(slots=True)
class Reload:
    """Called by the parent before its workers read the certificate."""

    config: Config  # of the start
    load: Callable[[], Config]
    log: FilteringBoundLogger
    read_certificate: Callable[[], None] | None  # by the process that stayed root, if there is one

    def __call__(self) -> None:
        """Report, and have the certificate copied."""
        self.log.info("certificates are read again; other settings need a restart")
        self._compare()
        if self.read_certificate is not None:
            self.read_certificate()

    def _compare(self) -> None:
        file = self.config.file
        if file is not None and not os.access(file, os.R_OK):
            self.log.info("the configuration may not be read without root: it was not looked at", file=file)
            return
        try:
            changed = list(differences(self.config, self.load()))
        except ConfigError as error:
            first = error.problems[0]
            line = None if first.place is None else first.place.line
            fix = "posthouse config check shows all"
            self.log.error(
                "the configuration has mistakes, no start would succeed", reason=first.text, line=line, fix=fix
            )
            return
        if changed:
            self.log.warning("settings were changed: they take effect at the next start", settings=changed)


def differences(old: Config, new: Config) -> Iterator[str]:
    """The names of settings that are not the same. Secrets that come from files are not looked at: they need root."""
    sections: list[str] = []
    for family in families():
        before, after = list(getattr(old.settings, family)), list(getattr(new.settings, family))
        yield from (f"{family}.{name}" for name in {*before} ^ {*after})
        both = [name for name in before if name in after]
        sections += [f"{family}.{name}" for name in both]
        if both != [name for name in after if name in before]:
            yield f"the order of {family}"  # the first that fits is taken
    for section, key, declaration in [*declared(), *named(sections)]:
        twin = (section, f"{key}_file")
        if is_secret(declaration) and (twin in old.given or twin in new.given):
            same = _written(old, twin) == _written(new, twin)
        else:
            same = _value(old, section, key) == _value(new, section, key)
        if not same:
            yield f"{section}.{key}"


def _written(config: Config, name: tuple[str, str]) -> object:
    return config.given[name].value if name in config.given else None


def _value(config: Config, section: str, key: str) -> object:
    family, _, name = section.partition(".")
    part = getattr(config.settings, family)
    return getattr(part[name] if name else part, key)
