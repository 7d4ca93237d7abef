"""How a command gets a password: from standard input, a person at a terminal, or by making one; never an argument."""

import getpass
import secrets
import sys

from posthouse.app import output
from posthouse.app.errors import CommandError, Exit

# Without letters and digits that look alike; 16 of 55 make 92 bits.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH = 16


def generated() -> str:
    """A new random password that can be read aloud and typed."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def asked(*, stdin: bool) -> str:
    """The password a person or a script gives. Raises CommandError when there is nobody to ask."""
    if stdin:
        line = sys.stdin.readline()
        if not line.rstrip("\r\n"):
            raise CommandError("standard input held no password", fix="Its first line is taken.", code=Exit.USAGE)
        return line.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandError(
            "there is no terminal to ask for the password",
            fix="Give it on standard input with --password-stdin, or let one be made with --generate.",
            code=Exit.USAGE,
        )
    for _ in range(3):
        password = getpass.getpass("Password: ")
        if password and password == getpass.getpass("The same again: "):
            return password
        output.note("They differ, or are empty. Once more.")
    raise CommandError("no password was given", code=Exit.USAGE)


def confirmed(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone. Raises CommandError unless the answer is yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask whether that is meant", fix="Add --yes.", code=Exit.USAGE)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed")
