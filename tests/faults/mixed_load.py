"""Clients of every protocol at once on one server: mail brought, sent out, collected, moved and removed.

On the accounts `drops` letters arrive by SMTP and by submission; those with odd numbers are collected and deleted by
POP3, those with even ones are moved and expunged by IMAP. What the accounts `senders` send goes to three servers
elsewhere, of which one puts off and one refuses, so that bounces come back. On two more accounts the clients of
imap_hands.py change mailboxes. Whatever goes wrong with a connection, its client comes again.
"""

import random
import re
import smtplib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.imap_hands import SHARED, Hand, Refused, read_all
from tests.faults.imap_ledger import OWNERS, Change, Ledger, Owner, Seen
from tests.faults.mixed_ledger import Copy, MailLedger, number_of
from tests.outside.imap_wire import Answer, ImapWire, quoted
from tests.outside.maildrop import Maildrop
from tests.outside.misbehaving import Greylister, Refuser
from tests.outside.relay import Relay, Way, until
from tests.outside.remotes import Accepted, Remote
from tests.outside.wire import Wire

GOOD, GREY, REFUSES = "good.test", "grey.test", "refuses.test"
IMAP_ACCOUNTS = ("alice@example.test", "bob@example.test")
KEPT = "Kept"
_ENDS = (OSError, AssertionError, ValueError, smtplib.SMTPException)  # how a conversation with a killed server ends
_BODY = re.compile(rb"BODY\[\S*\] \{(\d+)\}\r\n")
_UID = re.compile(rb"\bUID (\d+)")
_MARK = re.compile(r"([0-9]+)@example\.test$")
_WAITING = """
    SELECT message_id, address FROM queued JOIN queued_recipient USING (number) WHERE state = 0
"""
_LISTED = re.compile(rb'\* LIST \([^)]*\) \S+ "?([^"]+?)"?$')


class PatientHand(Hand):
    """An IMAP client that goes on after a NO, which means not done; what it believes changes under a lock alone."""

    def __init__(self, place: int, account: str, shared: str, ledger: Ledger, gate: threading.Lock) -> None:
        super().__init__(place, account, shared, ledger, 4711)
        self.gate = gate
        self.refused = 0

    def change(self, change: Change, command: bytes) -> Answer:
        with self.gate:
            self.owner.under_way = change
        return self.give(command)

    def done(self, change: Change, uids: list[int] | None = None, created: str = "") -> None:
        with self.gate:
            super().done(change, uids, created)

    def attempt(self, act: Callable[[], None], stop: threading.Event) -> None:
        try:
            act()
        except Refused:
            with self.gate:
                self.owner.under_way = None
            self.refused += 1
            stop.wait(0.02)


@dataclass
class Picture:
    """All that clients were told up to one instant. `marks`: how much each server elsewhere had taken."""

    at: float
    mail: MailLedger
    imap: Ledger
    owners: list[Owner]
    marks: dict[str, int]


class Mixed:
    """The server, those around it, and what it told them."""

    def __init__(self, relay: Relay, remotes: dict[str, Remote], drops: list[str], senders: list[str]) -> None:
        self.relay, self.remotes, self.drops, self.senders = relay, remotes, drops, senders
        self.mail, self.imap, self.gate = MailLedger(), Ledger(), threading.Lock()
        self.hands: list[PatientHand] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def prepare(self) -> None:
        """Make the mailboxes that all need. The server runs."""
        shared = {}
        for account in IMAP_ACCOUNTS:
            with ImapWire.open(self.relay.ports["imap"], account) as wire:
                answer = wire.ok(b"CREATE " + quoted(SHARED))
                shared[account] = f"{account}/{answer.argument('MAILBOXID').strip('()')}"
        for drop in self.drops:
            with ImapWire.open(self.relay.ports["imap"], drop) as wire:
                wire.ok(b"CREATE " + quoted(KEPT))
        accounts = [IMAP_ACCOUNTS[place % len(IMAP_ACCOUNTS)] for place in range(OWNERS)]
        self.hands = [
            PatientHand(place, account, shared[account], self.imap, self.gate) for place, account in enumerate(accounts)
        ]

    # The load.

    def begin(self) -> None:
        """Let all clients work."""
        self._stop = threading.Event()
        work = [*[self._bring] * 6, *[self._send] * 3, *[self._collect] * 2, *[self._tidy] * 2]
        seed = time.monotonic_ns()
        self._threads = [
            threading.Thread(target=self._again, args=(what, random.Random(seed + n))) for n, what in enumerate(work)
        ]
        self._threads += [threading.Thread(target=self._change, args=(hand,)) for hand in self.hands]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let all clients finish what they are at."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def cut(self, kill: Callable[[], None]) -> None:
        """Stop a process for good, and write down when: what it had sent and not recorded may be sent once more."""
        began = time.monotonic()
        kill()
        ended = time.monotonic()
        self.mail.unsettled[ended] = self._unsettled()
        self.mail.cuts.append((began, ended))

    def _unsettled(self) -> set[Copy]:
        """The letters that wait in the queue now, and for whom."""
        with closing(sqlite3.connect(f"file:{self.relay.data / 'posthouse.db'}?mode=ro", uri=True)) as connection:
            rows = connection.execute(_WAITING).fetchall()
        return {(int(found[1]), address) for mark, address in rows if (found := _MARK.match(mark))}

    def _again(self, work: Callable[[random.Random], None], source: random.Random) -> None:
        while not self._stop.is_set():
            with suppress(*_ENDS):
                work(source)
            self._stop.wait(0.02)

    def _change(self, hand: PatientHand) -> None:
        """One connection: what was under way when it was lost is not known, so that hand rests until the judge came."""
        acts = [hand.append, hand.append, hand.copy, hand.move, hand.move, hand.store, hand.expunge]
        acts += [hand.rename, hand.rename, hand.create, hand.delete, hand.look]
        with suppress(*_ENDS):
            hand.connect(self.relay.ports["imap"])
            assert hand.wire is not None
            with hand.wire:
                while not self._stop.is_set():
                    hand.attempt(hand.random.choice(acts), self._stop)

    def _bring(self, source: random.Random) -> None:
        """Mail from elsewhere, for one to three accounts."""
        with Wire(self.relay.ports["smtp"]) as wire:
            wire.hello()
            while not self._stop.is_set():
                letter = self.mail.begin("someone@client.test", source.sample(self.drops, source.randint(1, 3)))
                reply = wire.ask(f"MAIL FROM:<{letter.sender}>".encode())
                for home in letter.homes:
                    if reply.startswith("250"):
                        reply = wire.ask(f"RCPT TO:<{home}>".encode())
                if reply.startswith("250"):
                    reply = wire.data(letter.text())
                if reply.startswith("250"):
                    self.mail.acknowledge(letter)
                    continue
                if not reply:
                    return  # the server went away
                self.mail.refuse(reply)
                self._stop.wait(0.02)
                wire.expect(b"RSET", "250")

    def _send(self, source: random.Random) -> None:
        """Mail of our own users, for servers elsewhere and one account here."""
        sender = source.choice(self.senders)
        with self.relay.session(sender) as client:
            while not self._stop.is_set():
                # The greylister knows triples: so that it puts every letter off, each has a recipient of its own.
                away = [f"user@{GOOD}", f"user{{}}@{GREY}", f"user@{REFUSES}"]
                letter = self.mail.begin(sender, [source.choice(self.drops)], away)
                head = f"From: <{sender}>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n".encode()
                mark = b"Message-ID: <%d@example.test>\r\n" % letter.number
                try:
                    refused = client.sendmail(sender, letter.homes + letter.away, head + mark + letter.text())
                except smtplib.SMTPResponseException as no:
                    reason = no.smtp_error if isinstance(no.smtp_error, str) else no.smtp_error.decode()
                    self.mail.refuse(f"{no.smtp_code} {reason}")
                    raise
                assert refused == {}
                self.mail.acknowledge(letter)

    def _collect(self, source: random.Random) -> None:
        """Read some by POP3 and delete those with odd numbers, every third time without QUIT."""
        home = source.choice(self.drops)
        with Maildrop.open(self.relay.ports["pop3"], home) as drop:
            count = min(12, int(drop.command("STAT").split()[0]))
            copies: set[Copy] = set()
            for n in range(1, count + 1):
                number = number_of(drop.retrieve(n))
                if number % 2:
                    drop.command(f"DELE {n}")
                    copies.add((number, home))
            if source.random() < 0.3:
                return
            self.mail.ask(copies)
            drop.quit()
            self.mail.remove(copies)

    def _tidy(self, source: random.Random) -> None:
        """By IMAP: move letters with even numbers away, and expunge what was moved before."""
        home = source.choice(self.drops)
        with ImapWire.open(self.relay.ports["imap"], home, KEPT) as wire:
            kept = numbers_by_uid(wire)
            gone = set(source.sample(sorted(kept), len(kept) // 2))
            if gone:
                wire.ok(b"UID STORE %b +FLAGS.SILENT (\\Deleted)" % _set_of(gone))
                copies = {(kept[uid], home) for uid in gone}
                self.mail.ask(copies)
                wire.ok(b"UID EXPUNGE " + _set_of(gone))
                self.mail.remove(copies)
            wire.ok(b"SELECT INBOX")
            even = sorted(uid for uid, number in numbers_by_uid(wire).items() if not number % 2)
            if even:
                wire.ok(b"UID MOVE %b %b" % (_set_of(set(even[:20])), quoted(KEPT)))

    # The judge.

    def picture(self) -> Picture:
        """What everybody was told up to now. Whoever goes on meanwhile waits a moment."""
        with self.gate, self.imap.lock:
            return Picture(
                time.monotonic(),
                self.mail.copy(),
                Ledger(
                    last=self.imap.last,
                    uidnext=dict(self.imap.uidnext),
                    modseq=dict(self.imap.modseq),
                    uidvalidity=dict(self.imap.uidvalidity),
                    meaning=dict(self.imap.meaning),
                    identity=dict(self.imap.identity),
                    wrong=list(self.imap.wrong),
                ),
                [Owner(hand.owner.name, hand.owner.state, hand.owner.under_way) for hand in self.hands],
                {domain: len(remote.journal.accepted) for domain, remote in self.remotes.items()},
            )

    def drain(self, seconds: float = 60.0) -> None:
        """Until the queue is empty."""
        until(lambda: self.relay.queue() == [], lambda: f"the queue does not drain: {self.relay.queue()[:3]}", seconds)

    def imap_faults(self, ledger: Ledger, owners: list[Owner]) -> list[str]:
        """Whether the clients of imap_hands.py have what they were told; from then on they own what is there."""
        seen: dict[str, Seen] = {}
        for account in IMAP_ACCOUNTS:
            seen |= read_all(self.relay.ports["imap"], account)
        return ledger.judge(seen, owners)

    def mail_faults(self, ledger: MailLedger) -> list[str]:
        """Whether the letters are where they should be."""
        return ledger.faults_at_home({home: self.everything_of(home) for home in self.drops})

    def sent_faults(self, ledger: MailLedger, taken: dict[str, list[Accepted]]) -> list[str]:
        """Whether what was sent has come, once the queue is empty."""
        bounces = {sender: self.everything_of(sender) for sender in self.senders}
        faults = ledger.faults_of_bounces(REFUSES, bounces)
        for domain in (GOOD, GREY):
            faults += ledger.faults_away(domain, taken[domain])
        if taken[REFUSES]:
            faults.append("the one who refuses has taken something")
        return faults

    def taken(self) -> dict[str, list[Accepted]]:
        return {domain: list(remote.journal.accepted) for domain, remote in self.remotes.items()}

    def everything_of(self, account: str) -> list[bytes]:
        """All messages in all its mailboxes."""
        found = []
        with ImapWire.open(self.relay.ports["imap"], account) as wire:
            for line in wire.ok(b'LIST "" *').untagged:
                name = _LISTED.match(line)
                assert name is not None, line
                wire.ok(b"EXAMINE " + quoted(name[1]))
                for fetched in wire.ok(b"UID FETCH 1:* BODY.PEEK[]").untagged:
                    if body := _BODY.search(fetched):
                        found.append(fetched[body.end() : body.end() + int(body[1])])
        return found


def numbers_by_uid(wire: ImapWire) -> dict[int, int]:
    """Of the letters in the mailbox that is open."""
    found = {}
    for fetched in wire.ok(b"UID FETCH 1:* BODY.PEEK[HEADER]").untagged:
        uid = _UID.search(fetched)
        if uid and b"BODY[HEADER]" in fetched:
            found[int(uid[1])] = number_of(fetched)
    return found


def _set_of(uids: set[int]) -> bytes:
    return ",".join(map(str, sorted(uids))).encode()


@contextmanager
def mixed(folder: Path, data: Path | None = None) -> Iterator[Mixed]:
    """A server that has not been started yet, with its accounts, and the servers elsewhere, which run."""
    with ExitStack() as stack:
        remotes: dict[str, Remote] = {
            GOOD: stack.enter_context(Remote()),
            GREY: stack.enter_context(Greylister()),
            REFUSES: stack.enter_context(Refuser({"RCPT": "550 5.1.1 Nobody here"})),
        }
        relay = Relay(folder, [Way(domain, remote.port) for domain, remote in remotes.items()], data=data)
        stack.callback(relay.kill)
        drops, senders = [f"p{n}@example.test" for n in range(4)], [f"s{n}@example.test" for n in range(3)]
        relay.add_accounts([address.partition("@")[0] for address in (*drops, *senders, *IMAP_ACCOUNTS)])
        load = Mixed(relay, remotes, drops, senders)
        stack.callback(load.end)
        stack.callback(relay.kill)
        yield load
        assert [fault for remote in remotes.values() for fault in remote.journal.faults] == []
