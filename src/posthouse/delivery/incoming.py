"""Mail comes in: from the recipient's offer to the durable copy. The reply is given after the commit, never before."""

import time
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.interface import Account, Directory, Local, Unresolved
from posthouse.delivery.spool import Spool, SpoolBudget
from posthouse.mailstore.interface import Filed, Mailstore, Placement, StoreError, StoreFullError
from posthouse.message.address import Address
from posthouse.message.envelope import Envelope, Sender
from posthouse.message.header import count_received, delivered_to, header_end
from posthouse.message.ids import shown
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer, return_path
from posthouse.message.trace import delivered_to as delivered_to_field
from posthouse.policy.verdict import Judge

MAX_HOPS = 100  # RFC 5321 6.3: at least 100 Received fields

NO_RELAY = Reply(550, "5.7.1", "This server does not relay: the recipient's domain is not served here")
NO_SENDING = Reply(
    550, "5.7.1", "This version does not send to other servers: the recipient's domain is not served here"
)
NO_FORWARDING = Reply(550, "5.7.1", "This address forwards to another server, which this version cannot do yet")
NO_SUCH_USER = Reply(550, "5.1.1", "There is no such mailbox here")
ALIAS_LOOP = Reply(550, "5.4.6", "This address leads back to itself; its owner must mend the alias")
LOOP = Reply(554, "5.4.6", "This message has been here before, or on its way for too long")
MAILBOX_FULL = "The mailbox of <{}> is full"
NO_SPACE = Reply(452, "4.3.1", "No space left for mail here; please try again later")
UNWELL = Reply(451, "4.3.0", "The mail store is unwell; please try again later")


class Incoming:
    """The pipeline for mail to mailboxes here."""

    def __init__(
        self,
        directory: Directory,
        mailstore: Mailstore,
        spools: SpoolBudget,
        tracer: Tracer,
        log: FilteringBoundLogger,
        *,
        judges: Sequence[Judge] = (),
        max_hops: int = MAX_HOPS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._mailstore = mailstore
        self._spools = spools
        self._tracer = tracer
        self._judges = judges
        self._clock = clock
        self._log = log
        self._max_hops = max_hops

    async def offer_recipient(self, sender: Sender, address: Address) -> Reply | None:
        """Whether a recipient is taken; None: yes. Only an account with a quota costs a look into the store."""
        resolved = self.resolve(address)
        if isinstance(resolved, Reply):
            return resolved
        for account in resolved:
            if account.quota is not None:
                try:
                    usage = await self._mailstore.usage(account.id)
                except StoreError:
                    return UNWELL
                if usage.octets + max(sender.size, 1) > account.quota:
                    return Reply(552, "5.2.2", MAILBOX_FULL.format(address))
        return None

    def resolve(self, address: Address) -> tuple[Account, ...] | Reply:
        """The accounts an address leads to, or why there are none."""
        found = self._directory.resolve(address)
        if isinstance(found, Local):
            return NO_FORWARDING if found.outside else found.accounts
        return {
            Unresolved.NOT_OUR_DOMAIN: NO_RELAY,
            Unresolved.NO_SUCH_USER: NO_SUCH_USER,
            Unresolved.ALIAS_LOOP: ALIAS_LOOP,
        }[found]

    def open_spool(self) -> Spool:
        """Where a message is kept while it arrives."""
        return Spool(self._spools)

    async def receive(self, envelope: Envelope, spool: Spool, *, whole: bool) -> list[Reply]:
        """Keep the message; one reply per recipient, given when it is durable. `whole`: all recipients or none."""
        started = self._clock()
        try:
            answers = await self._receive(envelope, spool, whole)
        except StoreFullError:
            answers = [NO_SPACE] * len(envelope.recipients)
        except StoreError as error:
            self._log.error("store failed", id=shown(envelope.id), error=str(error))
            answers = [UNWELL] * len(envelope.recipients)
        self._log.info(
            "message",
            id=shown(envelope.id),
            sender=str(envelope.sender.address or "<>"),
            to=[str(recipient.address) for recipient in envelope.recipients[:10]],
            recipients=len(envelope.recipients),
            octets=spool.octets,
            client=envelope.client.ip,
            result=answers[0].code,
            ms=round((self._clock() - started) * 1000, 1),
        )
        return answers

    async def _receive(self, envelope: Envelope, spool: Spool, whole: bool) -> list[Reply]:
        head = bytes(spool.head)
        head = head[: header_end(head)]
        if count_received(head) >= self._max_hops:
            return [LOOP] * len(envelope.recipients)
        headers = b""
        for judge in self._judges:
            verdict = await judge.judge(envelope, head)
            if verdict.refusal is not None:
                return [verdict.refusal] * len(envelope.recipients)
            headers += verdict.headers
        return await self._file(envelope, spool, headers, delivered_to(head), whole)

    async def _file(self, envelope: Envelope, spool: Spool, headers: bytes, been: set[str], whole: bool) -> list[Reply]:
        answers: list[Reply | None] = [None] * len(envelope.recipients)
        placements: dict[int, Placement] = {}
        served: list[tuple[int, int]] = []  # (recipient, account)
        common = headers + self._tracer.received(envelope).encode()
        path = return_path(envelope.sender.address)
        for n, recipient in enumerate(envelope.recipients):
            resolved = self.resolve(recipient.address)
            if isinstance(resolved, Reply):
                answers[n] = resolved
                continue
            for account in resolved:
                if str(account.address).lower() in been:
                    answers[n] = LOOP
                    continue
                served.append((n, account.id))
                prefix = (path + delivered_to_field(account.address)).encode() + common
                placements.setdefault(account.id, Placement(account.id, prefix, quota=account.quota))
        if whole and any(answers):
            return [next(answer for answer in answers if answer)] * len(answers)
        filed = await self._mailstore.deliver(
            envelope.id, spool, list(placements.values()), int(self._clock()), whole=whole
        )
        outcomes = dict(zip(placements, filed, strict=True))
        kept = Reply(250, "2.0.0", f"Kept as {shown(envelope.id)}")
        for n, account_id in served:
            if outcomes[account_id] is Filed.OVER_QUOTA:
                answers[n] = Reply(552, "5.2.2", MAILBOX_FULL.format(envelope.recipients[n].address))
        if whole and any(answers):
            return [next(answer for answer in answers if answer)] * len(answers)
        return [answer or kept for answer in answers]
