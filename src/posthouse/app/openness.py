"""Warns of what others on this machine may read and should not."""

import re
import stat
from pathlib import Path

from structlog.typing import FilteringBoundLogger

_SECRET = re.compile(r"(?m)^\s*(?:key_)?password\s*=\s*\S")  # written in the file itself, not named by ..._file


def warn_if_open(data: Path, config: Path | None, log: FilteringBoundLogger) -> None:
    """Look at the data folder, and at a configuration file that holds passwords."""
    if _mode(data) & 0o077:
        log.warning("the data folder is open to other users", data=str(data), fix=f"chmod 700 {data}")
    if config is not None and _mode(config) & 0o044 and _holds_secrets(config):
        fix = f"chmod 600 {config}, owned by who starts the server; or name the secrets by password_file"
        log.warning("the configuration holds passwords and is open to other users", file=str(config), fix=fix)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0  # whoever needs it will say so


def _holds_secrets(config: Path) -> bool:
    try:
        return _SECRET.search(config.read_text(errors="replace")) is not None
    except OSError:
        return False
