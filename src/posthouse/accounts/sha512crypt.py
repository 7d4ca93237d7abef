"""SHA512-crypt, the "$6$" of shadow files, from its public specification.

Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", version 0.4.
Only for accounts that move over from elsewhere. The specification's steps are numbered in the comments. Step 21 repeats
5,000 times or more; what it hashes besides the running digest depends on the round's number only through its remainders
by 2, 3 and 7, so the 42 different wrappings are laid out once.
"""

import hashlib
import re
import time

MAX_ROUNDS = 1_000_000  # about a second; the specification allows 1,000 times more, which nobody should wait for
DEFAULT_ROUNDS = 5_000
MIN_ROUNDS = 1_000
MAX_SALT = 16

_FORM = re.compile(r"\$6\$(?:rounds=([0-9]{1,9})\$)?([!-#%-9;-~]{0,64})\$([./0-9A-Za-z]{86})")
_DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BREATH = 1_000  # rounds between two moments at which other threads may run


def split(text: str) -> tuple[int, str, str] | None:
    """Take apart "$6$[rounds=N$]salt$digest": (rounds as computed, salt, digest); None when it has another form."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    rounds = int(form[1]) if form[1] else DEFAULT_ROUNDS
    return max(MIN_ROUNDS, rounds), form[2], form[3]


def digest(password: bytes, salt: bytes, rounds: int) -> str:
    """The 86 characters after the last "$". Slow by intent; lets other threads run in between."""
    salt = salt[:MAX_SALT]
    running = _first_digest(password, salt)
    p_bytes = _stretched(hashlib.sha512(password * len(password)).digest(), len(password))  # steps 13-16
    ds = hashlib.sha512(salt * (16 + running[0])).digest()  # steps 17-19
    s_bytes = _stretched(ds, len(salt))  # step 20
    wrappings = [_wrapping(number, p_bytes, s_bytes) for number in range(42)]
    sha512 = hashlib.sha512
    for start in range(0, rounds, _BREATH):  # step 21
        for number in range(start, min(start + _BREATH, rounds)):
            before, after = wrappings[number % 42]
            running = sha512(before + running + after).digest()
        time.sleep(0)  # this loop holds the interpreter: the event loop must not wait for the whole of it
    return _written(running)


def _first_digest(password: bytes, salt: bytes) -> bytes:
    b = hashlib.sha512(password + salt + password).digest()  # steps 4-8
    a = hashlib.sha512(password + salt + _stretched(b, len(password)))  # steps 1-3, 9, 10
    count = len(password)
    while count:  # step 11
        a.update(b if count & 1 else password)
        count >>= 1
    return a.digest()  # step 12


def _stretched(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _wrapping(number: int, p_bytes: bytes, s_bytes: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the running digest in a round (steps 21 b-g)."""
    middle = (s_bytes if number % 3 else b"") + (p_bytes if number % 7 else b"")
    return (p_bytes + middle, b"") if number % 2 else (b"", middle + p_bytes)


def _written(final: bytes) -> str:
    """Step 22 e: three octets make four characters, least significant first; the octets' order rotates."""
    groups = []
    for start in range(21):
        triple = (start, start + 21, start + 42)
        turn = start % 3
        high, mid, low = triple[turn:] + triple[:turn]
        groups.append(_characters(final[high] << 16 | final[mid] << 8 | final[low], 4))
    return "".join(groups) + _characters(final[63], 2)


def _characters(value: int, count: int) -> str:
    return "".join(_DIGITS[value >> (6 * place) & 63] for place in range(count))
