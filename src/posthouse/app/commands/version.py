"""posthouse version."""

import platform
from importlib import metadata

from posthouse import __version__
from posthouse.app import output
from posthouse.app.commands.where import AsJson

_PARTS = ("apsw", "argon2-cffi", "cryptography", "cyclopts", "uvloop")


def version(*, as_json: AsJson = False) -> None:
    """Show the versions of Posthouse, of Python and of the parts that matter most when something is reported."""
    parts = {name: _installed(name) for name in _PARTS}
    if as_json:
        output.document({"version": 1, "posthouse": __version__, "python": platform.python_version(), "parts": parts})
        return
    print(f"posthouse {__version__}")
    output.fields({"python": platform.python_version(), **{name: part or "none" for name, part in parts.items()}})


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
