"""Reports to senders what became of their messages (RFC 3461, RFC 3464): which recipients, and the message itself.

The report and the record of the outcome are one transaction, so each failure is reported once, whatever crashes. A
message without a return address gets no report: that is how bounces never bounce (RFC 5321 6.1).
"""

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.delivery.content.body_with_cuts import tail
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.content.sendable import Converter, UnsendableError
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.reports.wording import explain
from posthouse.mailstore.interface import Body, StoreError, Traits, TransactionHook
from posthouse.message.address import Address
from posthouse.message.envelope import Client, Envelope, Recipient, ReversePath
from posthouse.message.header import header_end
from posthouse.message.ids import format_id
from posthouse.message.reply import Reply
from posthouse.message.report import WHOLE_AT_MOST, Action, Original, RecipientReport, compose
from posthouse.queue.interface import AttemptRecord, AttemptRecords, QueuedMessage, RecipientState, Recorder
from posthouse.queue.outcome import NOBODY, Delivered, Outcome, Remote

_LOCAL = Client("", 0, "localhost", "ESMTP")


@dataclass(frozen=True, slots=True)
class Notice:
    """One recipient of a queued message, with its part of the report to the sender."""

    message: QueuedMessage
    report: RecipientReport


class MailFiler(Protocol):
    """Keeps the messages that this server itself writes: the router."""

    async def file(
        self, mail: Mail, *, all_or_nothing: bool, in_transaction: Sequence[TransactionHook] = ()
    ) -> list[Reply]:
        """Keep every copy; one reply per recipient, given when all is durable. Raises StoreError."""

    def is_ours_to_return(self, address: Address) -> bool:
        """Whether this is the return address of a message that we only forward."""


class Bounces:
    """Writes and files delivery status notifications. `postmaster` tells who they come from; `signing` signs for it."""

    def __init__(
        self,
        filer: MailFiler,
        records: AttemptRecords,
        new_id: Callable[[], bytes],
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        *,
        hostname: str,
        postmaster: Callable[[], Address],
        signing: Signing | None = None,
    ) -> None:
        self._filer = filer
        self._records = records
        self._new_id = new_id
        self._clock = clock
        self._log = log
        self._hostname = hostname
        self._postmaster = postmaster
        self._signing = signing
        self._converter = Converter()

    def notice(self, record: AttemptRecord, outcome: Outcome) -> Notice | None:
        """What the sender of a queued message learns of this outcome; None: nothing."""
        waiting = record.waiting
        message = waiting.message
        action = _action(record, outcome)
        if action is None or not _is_wanted(action, waiting.recipient):
            return None
        if message.sender.address is None:
            if action is Action.FAILED:
                self._log.warning("bounce not delivered", id=format_id(message.id), to=str(waiting.recipient.address))
            return None
        if action is not Action.FAILED and self._filer.is_ours_to_return(message.sender.address):
            return None
        tried = record.tried
        report = self._report(
            waiting.recipient,
            action,
            outcome.reply,
            outcome.remote,
            spoken=isinstance(outcome, Delivered) or outcome.spoken,
            at=tried.at if tried is not None else int(self._clock()),
            attempts=waiting.attempts + 1,
            expired=record.state is RecipientState.EXPIRED,
            retry_until=message.expires,
        )
        return Notice(message, report)

    async def send(
        self, notices: Mapping[int, Notice], records: Sequence[AttemptRecord], content: QueuedContent | None
    ) -> list[int]:
        """Report, and record in the same transaction; the bodies nobody needs any more. All of one message.

        `notices` by the position of the record that each is about. What another claims by now, or an operator has
        dropped, is not reported. Raises StoreError; then nothing was reported and nothing recorded.
        """
        notices = dict(notices)
        while notices:
            recorder = self._records.recorder(records, notices)
            try:
                replies = await self._file(list(notices.values()), content, recorder)
            except StoreError:
                if not recorder.lost:
                    raise
                for position in recorder.lost:
                    del notices[position]
                continue
            if not replies[0].is_positive:
                message = next(iter(notices.values())).message
                self._log.warning(
                    "bounce not kept", id=format_id(message.id), to=str(message.sender.address), why=replies[0].text
                )
            if recorder.done:
                return recorder.over
            break
        return await self._records.record(records)

    async def _file(self, notices: Sequence[Notice], content: QueuedContent | None, recorder: Recorder) -> list[Reply]:
        message = notices[0].message
        head, pieces = await self._original(message, content)
        original = Original(
            message.sender,
            message.created,
            format_id(message.id),
            head,
            pieces,
            message.octets,
            content is not None and content.eight_bit,
        )
        mail = await self._mail(message.sender, [notice.report for notice in notices], original)
        return await self._filer.file(mail, all_or_nothing=False, in_transaction=[recorder])

    async def report_kept(self, envelope: Envelope, recipients: Sequence[Recipient], head: bytes) -> None:
        """Report to the sender, as asked for, that these copies were stored here (RFC 3461 4.1). Raises StoreError."""
        now = int(self._clock())
        reply = Reply(250, "2.1.5", "Stored in the mailbox")
        reports = [
            self._report(recipient, Action.DELIVERED, reply, NOBODY, spoken=False, at=now, attempts=1)
            for recipient in recipients
        ]
        original = Original(envelope.sender, now, format_id(envelope.id), head, None, len(head), not head.isascii())
        await self._filer.file(await self._mail(envelope.sender, reports, original), all_or_nothing=False)

    def _report(
        self,
        recipient: Recipient,
        action: Action,
        reply: Reply,
        remote: Remote,
        *,
        spoken: bool,
        at: int,
        attempts: int,
        expired: bool = False,
        retry_until: int = 0,
    ) -> RecipientReport:
        return RecipientReport(
            recipient=recipient,
            action=action,
            reply=reply,
            host=remote.host,
            ip=remote.ip,
            spoken=spoken,
            at=at,
            attempts=attempts,
            expired=expired,
            retry_until=retry_until if action is Action.DELAYED else 0,
            sentence=explain(reply, recipient.address, spoken=spoken, expired=expired),
        )

    async def _original(
        self, message: QueuedMessage, content: QueuedContent | None
    ) -> tuple[bytes, Callable[[], list[bytes]] | None]:
        """The header of the message, and all behind it if it was asked for and is small enough."""
        if content is None:
            return b"", None
        try:
            head = await content.head()
            if message.sender.ret != "FULL" or message.octets > WHOLE_AT_MOST:
                return head, None
            rest = (await content.whole())[len(head) :]
        except StoreError:
            return b"", None  # the news is worth more than the copy
        return head, lambda: [rest]

    async def _mail(self, sender: ReversePath, reports: Sequence[RecipientReport], original: Original) -> Mail:
        address = sender.address
        assert address is not None
        if self._filer.is_ours_to_return(address):
            # Nobody has verified that sender: its name may have been forged, and the bounce would go to a bystander.
            # What is wrong is the alias, which the postmaster can see to.
            address = self._postmaster()
        postmaster = self._postmaster()
        bounce = self._new_id()
        data = compose(
            reports,
            original,
            hostname=self._hostname,
            postmaster=postmaster,
            now=int(self._clock()),
            message_id=f"{format_id(bounce)}@{self._hostname}",
            boundary=f"={secrets.token_hex(12)}",
        )
        body, signature = await self._signed(data, postmaster.domain_key, bounce)
        null = ReversePath(None, smtputf8=bool(body.traits & Traits.EIGHT_BIT) or address.is_international)
        # RFC 3461 6.1: the fate of a notification is reported to nobody.
        envelope = Envelope(bounce, _LOCAL, null, [Recipient(address, ("NEVER",))])
        return Mail(
            envelope,
            body,
            signature,
            may_relay=True,
            within_quota=False,
            message_id=f"{format_id(bounce)}@{self._hostname}",
            sendable=True,
        )

    async def _signed(self, data: bytes, domain: str, bounce: bytes) -> tuple[Body, bytes]:
        """The report in a form that nothing on its way has to convert (RFC 6376 5.3), and its DKIM-Signature fields.

        A report that cannot be signed is sent all the same: the news is what counts.
        """
        body: Body = MemoryBody(data)
        head = data[: header_end(data)]
        with contextlib.suppress(UnsendableError):  # compose() makes lines that are short enough
            body, head = await self._converter.make_sendable(body, head, smtputf8=True)
        if self._signing is None:
            return body, b""
        try:
            return body, await self._signing.sign(domain, head, tail(body, len(head)))
        except DirectoryBusyError as error:
            self._log.warning("report not signed", id=format_id(bounce), reason=str(error))
            return body, b""


def _action(record: AttemptRecord, outcome: Outcome) -> Action | None:
    if record.state in (RecipientState.FAILED, RecipientState.EXPIRED):
        return Action.FAILED
    if isinstance(outcome, Delivered):
        return Action.RELAYED if outcome.relayed else None  # RFC 3461 5.2.2: else the next server reports
    return Action.DELAYED if record.warned and not record.waiting.warned else None


def _is_wanted(action: Action, recipient: Recipient) -> bool:
    """RFC 3461 4.1: failures and delays are reported by default, successes when asked for."""
    if action in (Action.RELAYED, Action.DELIVERED):
        return "SUCCESS" in recipient.notify
    word = "FAILURE" if action is Action.FAILED else "DELAY"
    return not recipient.notify or word in recipient.notify
