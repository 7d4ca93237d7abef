"""Import what is otherwise imported when first needed.

Who has given up root may no longer be able to read the program's own files: Python, or a clone of this repository,
often lies in a home folder that is closed to others. What is in memory by then needs no reading.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_LATE = (
    "_strptime",
    "argon2",
    "bcrypt",
    "concurrent.futures.thread",
    "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
    "cryptography.x509.oid",
    "difflib",
    "dns.update",
    "grp",
    "idna",
    "idna.uts46data",
    "importlib.readers",
    "rich.console",
    "rich.progress",
    "stringprep",
    "traceback",
    "tracemalloc",
    "unicodedata",
    "uvloop",
)
# Packages whose modules are found by name as mail and answers ask for them: character sets, types of DNS records.
_FAMILIES = ("encodings", "dns.rdtypes", "posthouse")


def program_files() -> tuple[Path, ...]:
    """What must be readable to import anything: the interpreter's own modules, the libraries, this package."""
    import argon2  # one of the libraries; they all stand in one folder

    import posthouse

    files = [importlib.__file__, argon2.__file__, posthouse.__file__]
    return (Path(sys.prefix), *(Path(file) for file in files if file))


def preload() -> None:
    """Import it all. Costs most of a second and some 20 MB, so only when it may be out of reach later."""
    names = [*_LATE, *(name for family in _FAMILIES for name in _modules(family))]
    for name in names:
        if not name.endswith("__main__"):
            with suppress(ImportError):  # uvloop may be missing, some modules are for other systems
                importlib.import_module(name)


def _modules(package: str) -> Iterator[str]:
    yield package
    paths: Sequence[str] = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(paths, f"{package}."):
        yield module.name
