"""What ends a worker."""

import asyncio
import os
import subprocess
import sys
import threading

from posthouse.app.process.lifetime import stop_at_end_of_file, watched_threads


async def test_the_end_of_the_life_line_is_read_once() -> None:
    ours, theirs = os.pipe()
    stop = asyncio.Event()
    stop_at_end_of_file(ours, stop)
    os.close(theirs)
    await stop.wait()
    assert not asyncio.get_running_loop().remove_reader(ours)  # nobody looks at it any more
    os.close(ours)


def test_a_thread_that_dies_is_told_of() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    before = threading.excepthook
    died: list[BaseException] = []
    with watched_threads(died.append):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert [type(error) for error in died] == [ZeroDivisionError]
    assert threading.excepthook is before


PROGRAM = """
import asyncio, threading
from posthouse.app.process.lifetime import until_stopped, watched_threads
from posthouse.app.process.logs import open_log

class Worker:
    def __init__(self):
        self.failed = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def died(self, error):
        self.loop.call_soon_threadsafe(self.failed.set)

class NeverDone(asyncio.Future):
    def cancel(self, msg=None):
        return False

async def main():
    worker = Worker()
    with watched_threads(worker.died):
        waiting = asyncio.ensure_future(wait(NeverDone()))  # as for a commit that will never be made
        await asyncio.sleep(0)
        threading.Thread(target=lambda: 1 / 0, name="commit").start()
        await until_stopped(asyncio.Event(), worker, open_log())

async def wait(future):
    await future

asyncio.run(main())
"""


def test_a_process_that_lost_a_thread_ends_whatever_waits_for_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "this process cannot go on" in done.stderr
