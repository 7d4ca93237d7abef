"""Clients that do not read, do not write, do so slowly, or compress what is much (see siege)."""

import os
import threading
import time
import zlib
from contextlib import ExitStack, suppress

import pytest

from tests.faults.siege import LONG, MIB, Siege, flood, refused, still_there
from tests.outside.imap_wire import ImapWire


def test_half_closed_while_idling(siege: Siege) -> None:
    with siege.calm(8 * MIB):
        for _ in range(50):
            with siege.open() as wire:
                wire.order(b"IDLE")
                wire.wait_for_word()
                wire.shut()
                wire.rest()


def test_garbage_instead_of_done(siege: Siege) -> None:
    with siege.calm(8 * MIB):
        for garbage in (b"", b"NOOP", b"DONE x", b" DONE", b"DONEx", b"\0", b"\xff" * 100, b"x" * 70_000, b"a DONE"):
            with siege.open() as wire:
                tag = wire.order(b"IDLE")
                wire.wait_for_word()
                wire.send(garbage + b"\r\n")
                refused(wire.finish(tag))
        with siege.open() as wire:
            wire.order(b"IDLE")
            wire.wait_for_word()
            flood(wire, b"x" * 65536, 5 * MIB)
            assert b"* BYE" in wire.rest()


def test_a_thousand_half_commands(siege: Siege) -> None:
    count = 1000
    starts = (b"a", b"a LOGIN ", b"a LOGIN {5+}\r\nal", b'a LOGIN "al', b"a APPEND INBOX {100+}\r\n", b"a NOOP\r")
    with siege.calm(count * 60_000), ExitStack() as stack:
        for number in range(count):
            wire = stack.enter_context(ImapWire(siege.port))
            wire.send(starts[number % len(starts)])
        time.sleep(1.0)


@pytest.mark.parametrize("item", [b"BODY.PEEK[]", b"RFC822", b"BODY.PEEK[TEXT]", b"BINARY.PEEK[1]"])
def test_a_client_that_never_reads(siege: Siege, item: bytes) -> None:
    """A hundred megabytes are asked for, and not taken."""
    with siege.open("many@example.test") as wire:
        wire.ok(b"STATUS INBOX (MESSAGES)")
        if wire.ok(b"STATUS INBOX (MESSAGES)").untagged[0].endswith(b" 0)"):
            for _ in range(20):
                assert wire.append("INBOX", b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 67_000).status == "OK"
    with siege.calm(), ExitStack() as stack:
        for _ in range(3):
            mute = stack.enter_context(siege.open("many@example.test"))
            mute.order(b"FETCH 1:* " + item)
        time.sleep(2.0)


def test_commands_whose_answers_are_not_read(siege: Siege) -> None:
    with siege.calm(), siege.open("words@example.test") as mute:
        sender = threading.Thread(target=flood, args=(mute, b"a FETCH 1:* (FLAGS UID)\r\n" * 2000, MIB))
        sender.start()
        time.sleep(2.0)
        mute.close()
        sender.join()


def test_a_hundred_thousand_noops_at_once(siege: Siege) -> None:
    count = 100_000
    with siege.calm(), siege.open() as wire:
        sender = threading.Thread(target=flood, args=(wire, b"x NOOP\r\n" * 1000, 8 * count))
        sender.start()
        for _ in range(count):
            assert wire.line() == b"x OK NOOP completed\r\n"
        sender.join()
        still_there(wire)


# Compression.


def bomb(piece: bytes, octets: int) -> bytes:
    """A deflate stream of so many octets."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = piece * (MIB // len(piece))
    packed = [packer.compress(block) for _ in range(octets // len(block))]
    return b"".join(packed) + packer.flush(zlib.Z_SYNC_FLUSH)


def test_a_bomb_of_one_line(siege: Siege) -> None:
    packed = bomb(b"a", 2000 * MIB if LONG else 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        with suppress(OSError):
            wire.send_raw(packed)
        assert b"* BYE" in wire.rest()


def test_a_bomb_of_commands_never_read(siege: Siege) -> None:
    packed = bomb(b"a NOOP\r\n", 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        sender = threading.Thread(target=flood_raw, args=(wire, packed))
        sender.start()
        time.sleep(3.0)
        wire.close()
        sender.join()


def test_a_bomb_of_commands_whose_answers_are_read(siege: Siege) -> None:
    """It is work, and it is done; others are served meanwhile."""
    packed = bomb(b"a NOOP\r\n", 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        sender = threading.Thread(target=flood_raw, args=(wire, packed))
        sender.start()
        for _ in range(20_000):
            assert wire.line() == b"a OK NOOP completed\r\n"
        wire.close()
        sender.join()


def test_a_bomb_in_a_literal(siege: Siege) -> None:
    packed = bomb(b"x", 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        wire.send(b"a APPEND INBOX {524288000+}\r\n")
        with suppress(OSError):
            wire.send_raw(packed)
        said = wire.rest()
        assert b"a NO [TOOBIG]" in said and b"* BYE" in said


def test_what_is_no_deflate_stream(siege: Siege) -> None:
    with siege.calm(8 * MIB):
        for junk in (b"a NOOP\r\n", b"\xff" * 1000, b"\0" * 1000, os.urandom(5000), zlib.compress(b"a NOOP\r\n")):
            with siege.open() as wire:
                wire.ok(b"COMPRESS DEFLATE")
                wire.send(junk)
                wire.shut()
                wire.rest()
        with siege.open() as wire:
            wire.send(b"a COMPRESS DEFLATE\r\nb NOOP\r\n")  # in plain text, behind it: it is no command
            wire.shut()
            assert b"b OK" not in wire.rest()


def flood_raw(wire: ImapWire, data: bytes) -> None:
    with suppress(OSError):
        wire.send_raw(data)
