"""A message comes in, from another server or from a user: checked or prepared, given its trace, and kept for good.

What is checked at which moment stands in stages.py and wiring.py.

The reply is given after the commit, never before.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from logging import INFO

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account
from posthouse.accounts.sending_limits import Taken
from posthouse.delivery.content.body_with_cuts import tail, trim, without
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.sendable import UNSENDABLE, Converter, UnsendableError
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.content.spool import Spool, SpoolBudget
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.stages import UNKNOWN_ORIGIN, Arrival, Origin, RecipientCheck, Stages
from posthouse.delivery.inbound.submission import Submission
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Body, StoreError, StoreFullError
from posthouse.message.address import Address
from posthouse.message.envelope import Envelope, Recipient, ReversePath
from posthouse.message.header import delivered_to, header_end, message_id
from posthouse.message.ids import format_id
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer

NO_SPACE = Reply(452, "4.3.1", "No space left for mail here, try again later")
TEMPORARY_FAILURE = Reply(451, "4.3.0", "Temporary storage failure, try again later")


def _text(reply: Reply) -> str:
    return f"{reply.code} {reply.enhanced} {reply.text}"


# Called with each message, once it is settled: envelope, content, the reply for each recipient, milliseconds it took.
OnReceived = Callable[[Envelope, Spool, Sequence[Reply], float], None]


class Incoming:
    """The way in, one per process. Made by wiring.build_incoming, which says what each stage checks.

    Without `submission` messages of users are taken as they are.
    """

    def __init__(
        self,
        router: Router,
        spools: SpoolBudget,
        tracer: Tracer,
        log: FilteringBoundLogger,
        stages: Stages,
        *,
        submission: Submission | None = None,
        signing: Signing | None = None,
        bounces: Bounces | None = None,
        on_received: OnReceived | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._router = router
        self._spools = spools
        self._tracer = tracer
        self._stages = stages
        self._submission = submission
        self._signing = signing
        self._bounces = bounces
        self._on_received = on_received
        self._clock = clock
        self._converter = Converter()
        self._log = log

    def offer_sender(self, sender: ReversePath, origin: Origin) -> Reply | None:
        """Whether mail from this reverse-path is taken; None: yes."""
        try:
            for check in self._stages.mail:
                refusal = check.check_mail(sender, origin)
                if refusal is not None:
                    return refusal
        except DirectoryBusyError:
            return TEMPORARY_FAILURE
        return None

    def offer_recipient(
        self, sender: ReversePath, address: Address, origin: Origin = UNKNOWN_ORIGIN
    ) -> Reply | Awaitable[Reply | None] | None:
        """Whether a recipient is taken; None: yes. Awaited only where a check must wait."""
        try:
            routed = self._router.resolve(address, sender, may_relay=origin.may_relay)
            if isinstance(routed, Reply):
                return routed
            checks = iter(self._stages.recipient)
            for check in checks:
                answer = check.check_recipient(sender, address, routed.accounts)
                if isinstance(answer, Reply):
                    return answer
                if answer is not None:
                    return self._check_rest(answer, checks, sender, address, routed.accounts)
        except DirectoryBusyError:
            return TEMPORARY_FAILURE
        return None

    async def _check_rest(
        self,
        answer: Awaitable[Reply | None],
        checks: Iterator[RecipientCheck],
        sender: ReversePath,
        address: Address,
        accounts: tuple[Account, ...],
    ) -> Reply | None:
        """The checks of a recipient from the one on that must be waited for."""
        try:
            refusal = await answer
            for check in checks:
                if refusal is not None:
                    return refusal
                refusal = await _settled(check.check_recipient(sender, address, accounts))
            return refusal
        except (StoreError, DirectoryBusyError):
            return TEMPORARY_FAILURE

    def open_spool(self) -> Spool:
        """Where a message is kept while it arrives."""
        return Spool(self._spools)

    async def receive(
        self, envelope: Envelope, spool: Spool, *, all_or_nothing: bool, origin: Origin = UNKNOWN_ORIGIN
    ) -> list[Reply]:
        """Keep the message, for all recipients or none if so wanted; one reply for each, given when it is durable."""
        started = self._clock()
        try:
            answers = await self._receive(envelope, spool, all_or_nothing, origin)
        except StoreFullError:
            answers = [NO_SPACE] * len(envelope.recipients)
        except (StoreError, DirectoryBusyError) as error:
            self._log.error("store failed", id=format_id(envelope.id), error=error)
            answers = [TEMPORARY_FAILURE] * len(envelope.recipients)
        if self._log.is_enabled_for(INFO):
            self._log_message(envelope, spool, answers, started)
        if self._on_received is not None:
            self._notify(self._on_received, envelope, spool, answers, started)
        return answers

    def _notify(
        self, watcher: OnReceived, envelope: Envelope, spool: Spool, answers: Sequence[Reply], started: float
    ) -> None:
        """The message is kept or refused already: a watcher that fails changes no reply."""
        try:
            watcher(envelope, spool, answers, (self._clock() - started) * 1000)
        except Exception:
            self._log.exception("what watches messages failed", id=format_id(envelope.id))

    def _log_message(self, envelope: Envelope, spool: Spool, answers: Sequence[Reply], started: float) -> None:
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

    async def _receive(self, envelope: Envelope, spool: Spool, all_or_nothing: bool, origin: Origin) -> list[Reply]:
        head = bytes(spool.head)
        arrival = Arrival(envelope, spool, head[: header_end(head)], origin)
        for check in self._stages.content:
            refusal = check.check_content(arrival)
            if refusal is not None and not isinstance(refusal, Reply):
                refusal = await refusal
            if refusal is not None:
                return [refusal] * len(envelope.recipients)
        taken: Taken | Reply | None = None
        if origin.account is not None and self._submission is not None:
            # Before it is kept, in one step with the check: sessions that end together would pass the bound.
            taken = self._submission.take_allowance(origin.account, [to.address for to in envelope.recipients])
        if isinstance(taken, Reply):
            return [taken] * len(envelope.recipients)
        try:
            answers = await self._file(arrival, all_or_nothing)
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

    async def _file(self, arrival: Arrival, all_or_nothing: bool) -> list[Reply]:
        envelope, account = arrival.envelope, arrival.origin.account
        if account is not None and self._submission is not None:
            mail = await self._prepare(self._submission, account, arrival)
        else:
            mail = await self._trace(arrival)
        if isinstance(mail, Reply):
            return [mail] * len(envelope.recipients)
        answers = await self._router.file(mail, all_or_nothing=all_or_nothing)
        try:
            await self._report(envelope, answers, arrival.head)
        except Exception as error:  # the mail is kept: whatever else fails, that is what the reply must say
            self._log.error("what follows a delivery failed", id=format_id(envelope.id), exc_info=error)
        return answers

    async def _trace(self, arrival: Arrival) -> Mail:
        """From another server: as it is, but for what the checks have cut, with its trace."""
        envelope, head = arrival.envelope, arrival.head
        body: Body = await trim(arrival.spool, arrival.cuts) if arrival.cuts else arrival.spool
        return Mail(
            envelope,
            body,
            arrival.headers + self._tracer.received(envelope).encode(),
            frozenset(delivered_to(head)),
            may_relay=arrival.origin.may_relay,
            message_id=message_id(head),
        )

    async def _prepare(self, submission: Submission, account: Account, arrival: Arrival) -> Mail | Reply:
        """From a user: checked, completed, converted and signed."""
        envelope, head = arrival.envelope, arrival.head
        prepared = submission.prepare(account, head, envelope.sender)
        if isinstance(prepared, Reply):
            return prepared
        cuts = sorted((*prepared.cuts, *arrival.cuts)) if arrival.cuts else prepared.cuts
        body: Body = await trim(arrival.spool, cuts) if cuts else arrival.spool
        kept = without(head, cuts)
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
            signature + arrival.headers + self._tracer.received(envelope).encode() + prepared.added,
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
        """RFC 3461 4.1: a success that was asked for is reported, here for what ended in mailboxes of this server."""
        if self._bounces is None or envelope.sender.address is None:
            return
        kept: list[Recipient] = [
            recipient
            for recipient, answer in zip(envelope.recipients, answers, strict=True)
            if answer.is_positive and "SUCCESS" in recipient.notify and self._router.ends_here(recipient.address)
        ]
        if kept:
            await self._bounces.report_kept(envelope, kept, head)


async def _settled(answer: Reply | Awaitable[Reply | None] | None) -> Reply | None:
    return answer if answer is None or isinstance(answer, Reply) else await answer
