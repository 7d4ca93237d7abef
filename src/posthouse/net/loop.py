"""The event loop: uvloop where there is one, else asyncio's own."""

import asyncio
import sys

# Seconds for which a thread may keep the interpreter's lock while another waits for it. The loop waits so long, once
# for each thread that computes, whenever it has given the lock away; Python's own 5 ms are too long for it.
_SWITCH = 0.001


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new loop for asyncio.Runner(loop_factory=new_event_loop); the process is made ready for it."""
    sys.setswitchinterval(_SWITCH)
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
