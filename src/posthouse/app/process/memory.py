"""How this process takes and gives memory: large buffers all the time, and small objects by the thousand."""

import ctypes
import gc

# malloc.h of glibc: the options of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
# Objects made before the cycle collector looks for garbage among them. Python's 700 are the work of five messages, so
# what waits for a commit or for the history is looked at again and again: 12 of 214 us per message.
_COLLECT_EVERY = 10_000


def tune_memory() -> None:
    """Spare what the defaults would do for every message; the bounds are far below what idle memory may be."""
    gc.set_threshold(_COLLECT_EVERY)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Up to a bound, instead of mapping and clearing pages anew for every message. For glibc; elsewhere: nothing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # no glibc
        return
    mallopt(_M_MMAP_THRESHOLD, 4 << 20)
    mallopt(_M_TRIM_THRESHOLD, 16 << 20)
    mallopt(_M_TOP_PAD, 1 << 20)
