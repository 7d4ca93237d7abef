"""The power goes under SMTP, submission, relay, POP3 and IMAP at once: all that was acknowledged is on the disk.

The data folder lies on an ext4 (default options) on a disk with a volatile write cache (disk_server.py). The disk
stops at a request drawn at random; what clients have been told by then is written down; then an image is made
of what such a disk may hold when the power goes at this instant: all before the last FLUSH, and of what came after it
nothing, all, the first part or any sectors. Each image is mounted, which replays its journal, and the server is started
on it, sends what it has to send, and is compared with what was told. `posthouse fsck` has nothing to say.

POSTHOUSE_LONG=1 makes 120 images, the short form 2. A server that skips a sync must be caught.
"""

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.disk import CachedDisk, mounted
from tests.faults.fsck_says import complaints
from tests.faults.mixed_load import Mixed, Picture, mixed
from tests.faults.scale import LONG, times
from tests.outside.relay import until

DISKS, IMAGES = times(1, 8), 15 if LONG else 2
HOWS = ("some", "none", "prefix", "some", "all")
FIRST_REQUESTS = 80  # the disk stops before one of so many
EARLY = 0.05  # seconds in which an acknowledgement that did not wait for the disk reaches its client
STANDSTILL = 1.5  # seconds that the image before may have held up the record of what was sent
AT_WORK = 20  # letters
UNSYNCED = Path(__file__).parent / "unsynced"


@dataclass
class Cut:
    """One loss of power. `cached`: writes that were in the disk's cache."""

    image: Path
    how: str
    cached: int
    told: Picture


def cut(load: Mixed, disk: CachedDisk, source: random.Random, hows: tuple[str, ...], n: int) -> Cut:
    """Take the image of a moment under load."""
    time.sleep(source.uniform(0.05, 0.5))
    disk.halt(source.randint(1, FIRST_REQUESTS))
    time.sleep(EARLY)
    told, image, how = load.picture(), disk.images / f"{n}.img", hows[n % len(hows)]
    cached = disk.image(image, how, source.getrandbits(32))
    disk.go()
    return Cut(image, how, cached, told)


def faults_after(load: Mixed, moment: Cut, folder: Path) -> list[str]:
    """What is wrong on the image, once the server has been started on it and has sent what it had to send."""
    mail = moment.told.mail
    mail.cuts = [(moment.told.at - STANDSTILL, moment.told.at)]
    before = {domain: taken[: moment.told.marks[domain]] for domain, taken in load.taken().items()}
    marks = {domain: len(taken) for domain, taken in load.taken().items()}
    with mounted(moment.image, folder, "-o", "loop"):
        try:
            load.relay.start()
            faults = load.mail_faults(mail) + load.imap_faults(moment.told.imap, moment.told.owners)
            if not faults:
                load.drain()
                taken = {domain: before[domain] + all_[marks[domain] :] for domain, all_ in load.taken().items()}
                faults = load.mail_faults(mail) + load.sent_faults(mail, taken)
                checked = load.relay.run("fsck", "--json")
                faults += [checked] if complaints(checked) else []
        except AssertionError as error:  # such as a message that cannot be read
            faults = [f"the server does not do its work: {error}"]
        finally:
            load.relay.kill()
    moment.image.unlink()
    return [f"{moment.how}, {moment.cached} in the cache: {fault[:1000]}" for fault in faults]


def cuts_under_load(
    load: Mixed, disk: CachedDisk, source: random.Random, hows: tuple[str, ...], images: int
) -> list[Cut]:
    """Start the server and its clients, and take images."""
    load.relay.start()
    load.prepare()
    load.begin()
    try:
        until(lambda: len(load.mail.acknowledged) > AT_WORK, lambda: f"no load\n{load.relay.log[-3000:]}", 60)
        return [cut(load, disk, source, hows, n) for n in range(images)]
    finally:
        load.relay.kill()
        load.end()
        settle(load)


def settle(load: Mixed) -> None:
    """Until the servers elsewhere have read what had been sent to them."""
    before = -1
    while before != (before := sum(map(len, load.taken().values()))):
        time.sleep(0.2)


@pytest.mark.timeout(5400 if LONG else 240)
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    source, faults = random.Random(1128), list[str]()
    cached = letters = removals = commands = again = 0
    for n in range(DISKS):
        folder = tmp_path / str(n)
        folder.mkdir()
        with CachedDisk(folder, folder / "fs") as disk, mixed(folder, disk.folder / "data") as load:
            for moment in cuts_under_load(load, disk, source, HOWS, IMAGES):
                sent = sum(map(len, load.taken().values()))
                faults += faults_after(load, moment, disk.folder)
                cached += moment.cached > 0
                letters += len(moment.told.mail.acknowledged)
                removals += len(moment.told.mail.removed)
                again += sum(map(len, load.taken().values())) - sent
                commands += sum(len(owner.state.held) for owner in moment.told.owners)
            assert "Traceback" not in load.relay.log, load.relay.log
        print(f"{n + 1} disks, {len(faults)} faults")
    print(
        f"{DISKS * IMAGES} images, {cached} with writes in the cache; {letters} acknowledged letters, {removals} "
        f"removals and {commands} messages of IMAP clients looked for, {again} sent from images; {len(faults)} faults"
    )
    assert faults == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("skipped", ["packs", "databases"])
def test_a_server_that_skips_a_sync_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skipped: str) -> None:
    source = random.Random(1128)
    with CachedDisk(tmp_path, tmp_path / "fs") as disk, mixed(tmp_path, disk.folder / "data") as load:
        with monkeypatch.context() as patch:
            paths = [str(UNSYNCED), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
            patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
            patch.setenv("SKIPPED_SYNC", skipped)
            moments = cuts_under_load(load, disk, source, ("none",), 6)
        # ext4 may happen to have written what nobody asked it to, so not every image has lost something.
        faults = next(filter(None, (faults_after(load, moment, disk.folder) for moment in moments)), [])
    print(f"{skipped}: {len(faults)} faults, such as {faults[:2]}")
    assert any("is lost" in fault or "does not do its work" in fault for fault in faults), faults


def test_what_the_cache_loses_is_what_was_not_flushed(tmp_path: Path) -> None:
    """The disk itself: what was synced is in every image, what was not is in the one that has all alone."""
    with CachedDisk(tmp_path, tmp_path / "fs") as disk:
        with (disk.folder / "synced").open("wb") as file:
            file.write(b"x" * 5000)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(disk.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        (disk.folder / "written").write_bytes(b"y" * 5000)
        for how in ("none", "prefix", "some", "all"):
            disk.image(disk.images / "image", how, 1)
            with mounted(disk.images / "image", tmp_path / "there", "-o", "loop") as there:
                assert (there / "synced").read_bytes() == b"x" * 5000
                assert not (there / "written").exists() or (there / "written").read_bytes() != b"y" * 5000
