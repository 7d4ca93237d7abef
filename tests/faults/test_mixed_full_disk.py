"""A disk that fills and is freed at random under SMTP, submission, relay, POP3 and IMAP at once.

The data folder lies on a small tmpfs. While it is full, letters are refused with 452 and IMAP commands with NO (which
means not done), what POP3 and IMAP clients remove is removed, and every third time the server is killed or stopped,
and started while the disk is still full. Once there is room again it takes letters, and nobody has done anything about
it. All that was acknowledged is there, by the ledgers of mixed_ledger.py and imap_ledger.py.

POSTHOUSE_LONG=1 fills the disk 60 times, the short form 3 times.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.disk import mounted, need_root
from tests.faults.fsck_says import complaints
from tests.faults.mixed_ledger import doubles
from tests.faults.mixed_load import GOOD, GREY, Mixed, mixed
from tests.faults.scale import LONG, times
from tests.outside.relay import until

FILLINGS = times(3, 60)
AT_WORK = 20  # letters


class Filler:
    """A file that takes all the room there is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Take what is free now."""
        with self._path.open("ab") as file:
            for octets in (1 << 24, 1 << 20, 1 << 16, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), octets)

    def free(self) -> None:
        self._path.unlink(missing_ok=True)


@contextmanager
def filled(filler: Filler) -> Iterator[None]:
    try:
        filler.fill()
        yield
    finally:
        filler.free()


def until_refused(load: Mixed, filler: Filler) -> None:
    """Wait until letters are refused; what is freed meanwhile is taken again."""
    before = load.mail.refused.total()

    def refused() -> bool:
        filler.fill()
        return load.mail.refused.total() >= before + 3

    until(refused, lambda: f"the disk is full, and letters are taken\n{load.relay.log[-3000:]}", 60)


def until_taken(load: Mixed) -> None:
    before = len(load.mail.acknowledged)
    until(
        lambda: len(load.mail.acknowledged) >= before + AT_WORK,
        lambda: f"there is room, and letters are refused\n{load.relay.log[-3000:]}",
        60,
    )


def one_filling(load: Mixed, filler: Filler, n: int, source: random.Random) -> None:
    load.begin()
    until_taken(load)
    time.sleep(source.uniform(0.05, 0.3))
    removed, began = len(load.mail.removed), time.monotonic()
    with filled(filler):
        until_refused(load, filler)
        until(lambda: len(load.mail.removed) > removed, lambda: f"nothing is removed\n{load.relay.log[-3000:]}", 60)
        if n % 3 == 2:
            (load.relay.kill if source.random() < 0.5 else load.relay.stop)()
            # What was sent while there was no room to record it is sent again, for which SMTP has no answer.
            load.mail.cuts.append((began, time.monotonic()))
            filler.fill()
            load.relay.start()
            until_refused(load, filler)
    until_taken(load)
    load.end()


@pytest.mark.timeout(3600 if LONG else 240)
def test_full_and_free_again_and_again(tmp_path: Path) -> None:
    need_root()
    source, faults = random.Random(1128), list[str]()
    with (
        mounted("tmpfs", tmp_path / "disk", "-t", "tmpfs", "-o", "size=300m") as disk,
        mixed(tmp_path, disk / "data") as load,
    ):
        filler = Filler(disk / "filler")
        load.relay.start()
        load.prepare()
        owners = [hand.owner for hand in load.hands]
        for n in range(FILLINGS):
            one_filling(load, filler, n, source)
            faults += [f"filling {n}: {fault}" for fault in load.imap_faults(load.imap, owners)]
            faults += [f"filling {n}: {fault}" for fault in load.mail_faults(load.mail)]
        load.cut(load.relay.kill)
        load.relay.start()
        load.drain(600 if LONG else 60)
        taken = load.taken()
        faults += load.mail_faults(load.mail) + load.sent_faults(load.mail, taken)
        checked = load.relay.run("fsck", "--json")
        load.relay.kill()
    no = sum(hand.refused for hand in load.hands)
    twice = {domain: doubles(taken[domain]) for domain in (GOOD, GREY)}
    print(
        f"full {FILLINGS} times; {len(load.mail.acknowledged)} letters acknowledged, "
        f"{dict(load.mail.refused)} refused, {len(load.mail.removed)} removals, "
        f"{load.imap.done.total()} IMAP commands done and {no} refused; sent twice {twice}; {len(faults)} faults"
    )
    assert faults == []
    assert complaints(checked) == []
    assert set(load.mail.refused) <= {"452 4.3.1", "421 4.3.2"}, load.mail.refused  # 421: it was being stopped
