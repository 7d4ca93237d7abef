"""How often a test of faults repeats what it does: a few times in `make test`, many times in `make faults`.

POSTHOUSE_LONG=1 asks for the long forms. POSTHOUSE_FAULTS_SCALE makes them shorter (0.2) or longer (5): each test still
shows what it shows, with fewer or more faults; a test that counts its faults says how many there were.
"""

import os

LONG = bool(os.environ.get("POSTHOUSE_LONG"))
_SCALE = float(os.environ.get("POSTHOUSE_FAULTS_SCALE") or 1)


def times(short: int, long: int) -> int:
    """How often: `short`, or in the long form `long` by the scale, but never less than `short`."""
    return max(short, round(long * _SCALE)) if LONG else short
