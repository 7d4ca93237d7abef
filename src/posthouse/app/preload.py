"""Import what is otherwise imported when first needed.

A server that has given up root may no longer be able to read the interpreter's own files: Python often lies in a home
folder that is closed to others. What is in memory by then needs no reading.
"""

import importlib
from contextlib import suppress

_LATE = (
    "argon2",
    "bcrypt",
    "concurrent.futures.thread",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
    "cryptography.x509.oid",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "idna",
    "idna.uts46data",
    "stringprep",
    "traceback",
    "unicodedata",
    "uvloop",
)


def preload() -> None:
    """Import it all. Costs some tenths of a second, so only for a server that is about to give up root."""
    for name in _LATE:
        with suppress(ImportError):  # uvloop may be missing; the others are found missing where they are needed
            importlib.import_module(name)
