"""A message comes in, from another server or from a user: judged or prepared, given its trace, and kept for good.

The reply is given after the commit, never before.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from logging import INFO

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.allowance import Taken
from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account
from posthouse.delivery.content.body_with_cuts import tail, trim, without
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.sendable import UNSENDABLE, Converter, UnsendableError
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.content.spool import Spool, SpoolBudget
from posthouse.delivery.inbound.router import LOOP, MAILBOX_FULL, Router
from posthouse.delivery.inbound.submission import Submission
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Body, Mailstore, StoreError, StoreFullError
from posthouse.message.address import Address
from posthouse.message.coding import has_true_breaks
from posthouse.message.envelope import Envelope, Recipient, ReversePath
from posthouse.message.header import count_received, delivered_to, header_end, message_id
from posthouse.message.ids import format_id
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer
from posthouse.policy.verdict import Judge

MAX_HOLD = 30 * 86400 + 60  # seconds, RFC 4865 3; clocks differ
MAX_HOPS = 100  # RFC 5321 6.3: at least 100 Received fields

BROKEN_HEADER = Reply(550, "5.6.11", "The header section holds a bare CR or LF; its lines must end with CRLF")
NO_SPACE = Reply(452, "4.3.1", "No space left for mail here; please try again later")
TOO_LATE = Reply(501, "5.5.4", "Bad argument: HOLDUNTIL is further away than messages are held here")
UNWELL = Reply(451, "4.3.0", "The mail store does not work now; please try again later")


def _text(reply: Reply) -> str:
    return f"{reply.code} {reply.enhanced} {reply.text}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who hands a message over. `trusted`: from a network that may relay. `account`: a user who has logged in."""

    account: Account | None = None
    trusted: bool = False

    @property
    def may_relay(self) -> bool:
        """Whether its mail may go to other servers."""
        return self.trusted or self.account is not None


STRANGER = Origin()

# Called with each message, once it is settled: envelope, content, the reply for each recipient, milliseconds it took.
OnReceived = Callable[[Envelope, Spool, Sequence[Reply], float], None]


class Incoming:
    """The way in, one per process. Without `submission` messages of users are taken as they are."""

    def __init__(
        self,
        router: Router,
        mailstore: Mailstore,
        spools: SpoolBudget,
        tracer: Tracer,
        log: FilteringBoundLogger,
        *,
        judges: Sequence[Judge] = (),
        submission: Submission | None = None,
        signing: Signing | None = None,
        bounces: Bounces | None = None,
        on_received: OnReceived | None = None,
        max_hops: int = MAX_HOPS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._router = router
        self._mailstore = mailstore
        self._spools = spools
        self._tracer = tracer
        self._judges = judges
        self._submission = submission
        self._signing = signing
        self._bounces = bounces
        self._on_received = on_received
        self._clock = clock
        self._converter = Converter()
        self._log = log
        self._max_hops = max_hops

    def offer_sender(self, sender: ReversePath, origin: Origin) -> Reply | None:
        """Whether mail from this reverse-path is taken; None: yes."""
        if sender.hold_until > self._clock() + MAX_HOLD:
            return TOO_LATE
        if origin.account is None or self._submission is None:
            return None
        try:
            return self._submission.check_sender(origin.account, sender.address)
        except DirectoryBusyError:
            return UNWELL

    def offer_recipient(
        self, sender: ReversePath, address: Address, origin: Origin = STRANGER
    ) -> Reply | Awaitable[Reply | None] | None:
        """Whether a recipient is taken; None: yes. Only an account with a quota costs a wait: the store is asked."""
        try:
            routed = self._router.resolve(address, sender, may_relay=origin.may_relay)
        except DirectoryBusyError:
            return UNWELL
        if isinstance(routed, Reply):
            return routed
        bounded = [account for account in routed.accounts if account.quota is not None]
        return self._check_room(sender, address, bounded) if bounded else None

    async def _check_room(self, sender: ReversePath, address: Address, accounts: Sequence[Account]) -> Reply | None:
        try:
            for account in accounts:
                usage = await self._mailstore.usage(account.id)
                if account.quota is not None and usage.octets + max(sender.size, 1) > account.quota:
                    return Reply(552, "5.2.2", MAILBOX_FULL.format(address))
        except StoreError:
            return UNWELL
        return None

    def open_spool(self) -> Spool:
        """Where a message is kept while it arrives."""
        return Spool(self._spools)

    async def receive(self, envelope: Envelope, spool: Spool, *, whole: bool, origin: Origin = STRANGER) -> list[Reply]:
        """Keep the message; one reply per recipient, given when it is durable. `whole`: all recipients or none."""
        started = self._clock()
        try:
            answers = await self._receive(envelope, spool, whole, origin)
        except StoreFullError:
            answers = [NO_SPACE] * len(envelope.recipients)
        except (StoreError, DirectoryBusyError) as error:
            self._log.error("store failed", id=format_id(envelope.id), error=error)
            answers = [UNWELL] * len(envelope.recipients)
        if self._log.is_enabled_for(INFO):
            self._tell(envelope, spool, answers, started)
        if self._on_received is not None:
            self._show(self._on_received, envelope, spool, answers, started)
        return answers

    def _show(
        self, watcher: OnReceived, envelope: Envelope, spool: Spool, answers: Sequence[Reply], started: float
    ) -> None:
        """The message is kept or refused already: a watcher that fails changes no reply."""
        try:
            watcher(envelope, spool, answers, (self._clock() - started) * 1000)
        except Exception:
            self._log.exception("a message could not be shown", id=format_id(envelope.id))

    def _tell(self, envelope: Envelope, spool: Spool, answers: Sequence[Reply], started: float) -> None:
        self._log.info(
            "message",
            id=format_id(envelope.id),
            sender=str(envelope.sender.address or "<>"),
            to=[str(recipient.address) for recipient in envelope.recipients[:10]],
            recipients=len(envelope.recipients),
            octets=spool.octets,
            client=envelope.client.ip,
            login=envelope.client.login,
            result=answers[0].code,
            refused=sum(not answer.is_positive for answer in answers),
            reply=next((_text(answer) for answer in answers if not answer.is_positive), None),
            ms=round((self._clock() - started) * 1000, 1),
        )

    async def _receive(self, envelope: Envelope, spool: Spool, whole: bool, origin: Origin) -> list[Reply]:
        head = bytes(spool.head)
        head = head[: header_end(head)]
        if count_received(head) >= self._max_hops:
            return [LOOP] * len(envelope.recipients)
        if spool.bare_cr_or_lf and not has_true_breaks(head):  # BODY=BINARYMIME; RFC 3030 3: the header has lines
            return [BROKEN_HEADER] * len(envelope.recipients)
        taken: Taken | Reply | None = None
        if origin.account is not None and self._submission is not None:
            # Before it is kept, in one step with the check: sessions that end together would pass the bound.
            taken = self._submission.take_allowance(origin.account, [to.address for to in envelope.recipients])
        if isinstance(taken, Reply):
            return [taken] * len(envelope.recipients)
        try:
            answers = await self._file(envelope, spool, whole, origin, head)
        except Exception:  # not when it is cancelled: the message may be kept all the same
            self._give_back(envelope, taken)
            raise
        if not any(answer.is_positive for answer in answers):
            self._give_back(envelope, taken)
        return answers

    def _give_back(self, envelope: Envelope, taken: Taken | None) -> None:
        """What cannot be given back counts for a day: that changes no reply."""
        if taken is None or self._submission is None:
            return
        try:
            self._submission.give_back(taken)
        except Exception as error:
            self._log.warning("a message counts that was not kept", id=format_id(envelope.id), exc_info=error)

    async def _file(self, envelope: Envelope, spool: Spool, whole: bool, origin: Origin, head: bytes) -> list[Reply]:
        if origin.account is not None and self._submission is not None:
            mail = await self._prepared(self._submission, origin.account, envelope, spool, head)
        else:
            mail = await self._judged(envelope, spool, head, origin)
        if isinstance(mail, Reply):
            return [mail] * len(envelope.recipients)
        answers = await self._router.file(mail, whole=whole)
        try:
            await self._report(envelope, answers, head)
        except Exception as error:  # the mail is kept: whatever else fails, that is what the reply must say
            self._log.error("what follows a delivery failed", id=format_id(envelope.id), exc_info=error)
        return answers

    async def _judged(self, envelope: Envelope, spool: Spool, head: bytes, origin: Origin) -> Mail | Reply:
        """From another server: opinions are heard."""
        headers = b""
        for judge in self._judges:
            verdict = await judge.judge(envelope, head)
            if verdict.refusal is not None:
                return verdict.refusal
            headers += verdict.headers
        trace = headers + self._tracer.received(envelope).encode()
        return Mail(
            envelope,
            spool,
            trace,
            frozenset(delivered_to(head)),
            may_relay=origin.may_relay,
            message_id=message_id(head),
        )

    async def _prepared(
        self, submission: Submission, account: Account, envelope: Envelope, spool: Spool, head: bytes
    ) -> Mail | Reply:
        """From a user: checked, completed, converted and signed."""
        prepared = submission.prepare(account, head, envelope.sender)
        if isinstance(prepared, Reply):
            return prepared
        body: Body = await trim(spool, prepared.cuts) if prepared.cuts else spool
        kept = without(head, prepared.cuts)
        try:
            body, kept = await self._converter.make_sendable(body, kept, smtputf8=envelope.sender.smtputf8)
        except UnsendableError:
            return UNSENDABLE
        final = prepared.added + kept
        rest = tail(body, len(kept))
        signature = await self._signing.sign(prepared.domain, final, rest) if self._signing is not None else b""
        return Mail(
            envelope,
            body,
            signature + self._tracer.received(envelope).encode() + prepared.added,
            frozenset(delivered_to(head)),
            account=account,
            may_relay=True,
            message_id=prepared.message_id,
            hold_until=self._held_until(envelope.sender),
            sent_copy=prepared.sent_copy,
            sendable=True,
        )

    def _held_until(self, sender: ReversePath) -> int:
        """RFC 4865: when the message may go on its way; 0: at once."""
        if sender.hold_for:
            return int(self._clock()) + sender.hold_for
        return sender.hold_until

    async def _report(self, envelope: Envelope, answers: Sequence[Reply], head: bytes) -> None:
        """RFC 3461 4.1: a success that was asked for is told, here for what ended in mailboxes of this server."""
        if self._bounces is None or envelope.sender.address is None:
            return
        kept: list[Recipient] = [
            recipient
            for recipient, answer in zip(envelope.recipients, answers, strict=True)
            if answer.is_positive and "SUCCESS" in recipient.notify and self._router.ends_here(recipient.address)
        ]
        if kept:
            await self._bounces.report_kept(envelope, kept, head)
