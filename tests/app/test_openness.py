"""Warnings of what others may read."""

from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.app.openness import warn_if_open

SECRET = '[route.out]\npassword = "hunter2"\n'


@pytest.mark.parametrize(
    ("folder", "file", "text", "warned"),
    [
        (0o700, 0o600, SECRET, []),
        (0o750, 0o600, SECRET, ["data"]),
        (0o700, 0o644, SECRET, ["file"]),
        (0o700, 0o644, '[tls]\nkey_password = "x"\n', ["file"]),
        (0o700, 0o644, '[route.out]\npassword_file = "/etc/x"\n', []),
        (0o705, 0o640, SECRET, ["data", "file"]),
    ],
)
def test_what_is_open_is_named(tmp_path: Path, folder: int, file: int, text: str, warned: list[str]) -> None:
    logged = LogCapture()
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    data, config = tmp_path / "data", tmp_path / "posthouse.toml"
    data.mkdir()
    config.write_text(text)
    data.chmod(folder)
    config.chmod(file)
    warn_if_open(data, config, log)
    assert [name for entry in logged.entries for name in ("data", "file") if name in entry] == warned
    assert "hunter2" not in str(logged.entries)


def test_what_cannot_be_looked_at_is_left_to_whoever_needs_it(tmp_path: Path) -> None:
    logged = LogCapture()
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    warn_if_open(tmp_path / "nowhere", None, log)
    assert logged.entries == []
