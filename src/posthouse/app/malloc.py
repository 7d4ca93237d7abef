"""Tell the C library's allocator that this process takes and gives large buffers all the time."""

import ctypes

# malloc.h of glibc: what mallopt(3) is told.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3


def tune_malloc() -> None:
    """Keep freed memory up to a bound instead of mapping and clearing pages anew for every message; elsewhere: nothing.

    The bounds are far below what idle memory may be, and far above a usual message.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # no glibc
        return
    mallopt(_M_MMAP_THRESHOLD, 4 << 20)
    mallopt(_M_TRIM_THRESHOLD, 16 << 20)
    mallopt(_M_TOP_PAD, 1 << 20)
