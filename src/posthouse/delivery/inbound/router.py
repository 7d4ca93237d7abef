"""Where each recipient's copy goes, and the one transaction that keeps them: mailboxes here, the queue for elsewhere.

The reply to the client stands for this transaction: either every copy it speaks of is durable, or none is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from posthouse.accounts.interface import Account, Directory, Local, Unresolved
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.sendable import UNSENDABLE, Converter
from posthouse.delivery.inbound.srs import Srs, SrsError
from posthouse.delivery.inbound.stages import DELIVER, AccountDecision, AccountDelivery, AccountStage
from posthouse.delivery.outbound.active_queue import ActiveQueue
from posthouse.delivery.outbound.routes import LOCAL, Routes
from posthouse.mailstore.interface import Deliveries, DeliveryResult, Target, TransactionHook
from posthouse.message.address import Address
from posthouse.message.envelope import Recipient, ReversePath
from posthouse.message.ids import format_id
from posthouse.message.reply import Reply
from posthouse.message.trace import delivered_to, return_path
from posthouse.queue.history import Delivery, History, NoHistory
from posthouse.queue.interface import ACCOUNT, MAILBOX, Fresh, Put, QueueInput

NO_RELAY = Reply(550, "5.7.1", "This server does not relay: the recipient's domain is not served here")
# An empty directory is one that is not set up yet, or not the right one: mail must come again later, not bounce.
NO_DOMAIN = Reply(451, "4.3.0", "This server has no domain yet, try again later")
NO_SENDING = Reply(550, "5.7.1", "This server does not send mail to other servers")
NO_SUCH_USER = Reply(550, "5.1.1", "There is no such mailbox here")
ALIAS_LOOP = Reply(550, "5.4.6", "Alias loop detected")
LOOP = Reply(554, "5.4.6", "This message has been here before, or on its way for too long")
STALE = Reply(550, "5.1.1", "This return address is not valid, or no longer")
MAILBOX_FULL = "The mailbox of <{}> is full"

_ONCE = b""  # a delivery without a name: who gets no reply sends the message again as another one
_HAS_IT = (DeliveryResult.KEPT, DeliveryResult.ALREADY)
SENT = "Sent"  # the mailbox of sent copies, RFC 6154 2


@dataclass(frozen=True, slots=True)
class Routed:
    """Where one recipient's mail goes: accounts here, addresses elsewhere. `forwarded`: an alias leads there."""

    accounts: tuple[Account, ...] = ()
    outside: tuple[Address, ...] = ()
    forwarded: bool = False


@dataclass(slots=True)
class _Plan:
    """One message taken apart."""

    answers: list[Reply | None]
    targets: dict[int, list[Target]] = field(default_factory=dict)  # by account
    served: list[tuple[int, Account]] = field(default_factory=list)  # which recipient
    outside: dict[Address, Recipient] = field(default_factory=dict)
    held: dict[int, Recipient] = field(default_factory=dict)  # by account here, for later
    forwarded: bool = True  # every outside recipient stands behind an alias
    through: set[Address] = field(default_factory=set)  # recipients that lead outside

    is_spread: bool = False  # an account may have several targets, or none

    def results_by_account(self, results: Sequence[DeliveryResult]) -> dict[int, DeliveryResult]:
        """What became of each account's message: it has it when one of its copies was kept."""
        if not self.is_spread:
            return dict(zip(self.targets, results, strict=False))  # sent copy and queue stand behind the accounts
        found: dict[int, DeliveryResult] = {}
        position = 0
        for account, targets in self.targets.items():
            mine = results[position : position + len(targets)]
            position += len(targets)
            if mine:
                found[account] = next((each for each in mine if each in _HAS_IT), mine[0])
        return found


class Router:
    """One per process. Without `outgoing` nothing leaves this server; without `active` it waits in the table.

    `expire`: seconds a message may stay queued. `account_stages` decide for each account here, in order; `separator`
    starts the detail of an address, "" for none.
    """

    def __init__(
        self,
        directory: Directory,
        mailstore: Deliveries,
        clock: Callable[[], float],
        *,
        outgoing: QueueInput | None = None,
        active: ActiveQueue | None = None,
        routes: Routes | None = None,
        srs: Callable[[], Srs | None] = lambda: None,
        expire: float = 5 * 86400.0,
        account_stages: Sequence[AccountStage] = (),
        separator: str = "+",
        history: History | None = None,
    ) -> None:
        self._directory = directory
        self._mailstore = mailstore
        self._clock = clock
        self._outgoing = outgoing
        self._active = active
        self._routes = routes or Routes()
        self._srs = srs
        self._expire = expire
        self._account_stages = tuple(account_stages)
        self._separator = separator
        self._converter = Converter()
        self._history = history or NoHistory()

    def resolve(self, address: Address, sender: ReversePath, *, may_relay: bool) -> Routed | Reply:
        """Where mail for an address goes, or why it goes nowhere."""
        found = self._directory.addresses.resolve(address)
        if isinstance(found, Local):
            if found.outside and self._outgoing is None:
                return NO_SENDING
            return Routed(found.accounts, found.outside, forwarded=bool(found.outside))
        if found is Unresolved.NOT_OUR_DOMAIN:
            if not may_relay:
                return NO_RELAY if self._directory.addresses.own_domain() else NO_DOMAIN
            return Routed(outside=(address,)) if self._outgoing is not None else NO_SENDING
        if found is Unresolved.NO_SUCH_USER:
            return self._returned(address, sender)
        return ALIAS_LOOP

    def ends_here(self, address: Address) -> bool:
        """Whether all mail for an address stays in mailboxes of this server."""
        found = self._directory.addresses.resolve(address)
        return isinstance(found, Local) and not found.outside

    def _returned(self, address: Address, sender: ReversePath) -> Routed | Reply:
        """A bounce to an address that we made for a forwarded message goes back to where that came from."""
        srs = self._srs()
        if srs is None or self._outgoing is None or sender.address is not None:
            return NO_SUCH_USER  # from anyone but a bounce it would make this an open relay
        try:
            back = srs.reverse(address)
        except SrsError:
            return STALE
        return NO_SUCH_USER if back is None else Routed(outside=(back,), forwarded=True)

    def is_ours_to_return(self, address: Address) -> bool:
        """Whether this is the return address of a message that we only forward: nobody knows whether it was forged."""
        srs = self._srs()
        try:
            return (
                srs is not None
                and srs.reverse(address) is not None
                and self._directory.addresses.is_local_domain(address.domain)
            )
        except SrsError:
            return False

    async def file(
        self, mail: Mail, *, all_or_nothing: bool, in_transaction: Sequence[TransactionHook] = ()
    ) -> list[Reply]:
        """Keep every copy, for all recipients or none if so wanted; one reply for each, given when all is durable.

        `in_transaction` are called in the same transaction, even when there is nowhere to go. Raises StoreError.
        """
        plan = self._plan(mail)
        if plan.outside and not mail.sendable and not await self._converter.can_be_sent(mail.body):
            plan = self._plan(mail, outside=False)
        if self._account_stages:
            await self._decide(mail, plan)
        if all_or_nothing and any(plan.answers):
            return [next(answer for answer in plan.answers if answer)] * len(plan.answers)
        results = plan.results_by_account(
            await self._deliver(_ONCE, mail, plan, all_or_nothing=all_or_nothing, in_transaction=in_transaction)
        )
        self._remember(mail, plan, results)
        return self._answers(mail, plan, results, all_or_nothing)

    async def file_held(self, mail: Mail) -> list[Reply]:
        """Keep every copy of a message that was held here, of which each try may bring another part. Raises StoreError.

        What leads outside by now is a delivery for each address, named after it: under one name for all, the store
        would take the second part for a repetition of the first, and nothing would be queued.
        """
        plan = self._plan(mail)
        if self._account_stages:
            await self._decide(mail, plan)
        outside, plan.outside = plan.outside, {}
        results = plan.results_by_account(await self._deliver(mail.envelope.id, mail, plan, all_or_nothing=False))
        self._remember(mail, plan, results)
        for address, recipient in outside.items():
            one = replace(plan, targets={}, outside={address: recipient})
            await self._deliver(_name_for(mail.envelope.id, address), mail, one, all_or_nothing=False)
        plan.outside = outside
        return self._answers(mail, plan, results, all_or_nothing=False)

    async def _deliver(
        self,
        name: bytes,
        mail: Mail,
        plan: _Plan,
        *,
        all_or_nothing: bool,
        in_transaction: Sequence[TransactionHook] = (),
    ) -> list[DeliveryResult]:
        put = self._put(mail, plan)
        targets = self._targets(mail, plan, queued=put is not None)
        hooks: Sequence[TransactionHook] = in_transaction if put is None else [*in_transaction, put]
        receipt = await self._mailstore.deliver(
            name, mail.body, targets, int(self._clock()), all_or_nothing=all_or_nothing, in_transaction=hooks
        )
        if put is not None and self._active is not None and put.waiting:
            queued = receipt.messages[-1]
            if queued is not None:
                self._active.offer(put.waiting, queued)
        return receipt.results

    def _remember(self, mail: Mail, plan: _Plan, results: dict[int, DeliveryResult]) -> None:
        if not plan.served:
            return
        envelope, at = mail.envelope, int(self._clock())
        self._history.add(
            [
                Delivery(
                    envelope.id,
                    at,
                    envelope.sender.address,
                    envelope.recipients[n].address,
                    account.address,
                    mail.message_id,
                    mail.body.octets,
                    envelope.client.ip,
                    results[account.id] is not DeliveryResult.OVER_QUOTA,
                )
                for n, account in plan.served
                if results.get(account.id, DeliveryResult.WITHHELD) is not DeliveryResult.WITHHELD
            ]
        )

    def _plan(self, mail: Mail, *, outside: bool = True) -> _Plan:
        """Take the recipients apart; without `outside` those that lead elsewhere are refused."""
        envelope = mail.envelope
        plan = _Plan([None] * len(envelope.recipients))
        path = return_path(envelope.sender.address)
        for n, recipient in enumerate(envelope.recipients):
            routed = self.resolve(recipient.address, envelope.sender, may_relay=mail.may_relay)
            if isinstance(routed, Reply):
                plan.answers[n] = routed
                continue
            if routed.forwarded and str(recipient.address).lower() in mail.been:
                plan.answers[n] = LOOP
                continue
            if routed.outside and not outside:
                plan.answers[n] = UNSENDABLE
                continue
            if routed.outside:
                plan.through.add(recipient.address)
            for address in routed.outside:
                same = address == recipient.address
                plan.outside.setdefault(address, recipient if same else replace(recipient, address=address))
                plan.forwarded = plan.forwarded and routed.forwarded
            for account in routed.accounts:
                if str(account.address).lower() in mail.been:
                    plan.answers[n] = LOOP
                    continue
                if mail.hold_until and self._outgoing is not None:
                    # By its own address: were it the alias, all it leads to would have the message again on release.
                    plan.held.setdefault(account.id, replace(recipient, address=account.address))
                    continue
                plan.served.append((n, account))
                if account.id not in plan.targets:
                    header = (path + delivered_to(account.address)).encode() + mail.trace
                    quota = account.quota if mail.within_quota else None
                    plan.targets[account.id] = [Target(account.id, header, quota=quota)]
        return plan

    async def _decide(self, mail: Mail, plan: _Plan) -> None:
        """Let the account stages decide, once for each account."""
        decisions: dict[int, AccountDecision] = {}
        for n, account in plan.served:
            if account.id not in decisions:
                decisions[account.id] = await self._decision(mail, mail.envelope.recipients[n], account)
            decision = decisions[account.id]
            if decision.refusal is not None:
                plan.answers[n] = decision.refusal
        for id_, decision in decisions.items():
            if decision is DELIVER:
                continue
            plan.is_spread = True
            (target,) = plan.targets[id_]
            mailboxes = () if decision.refusal is not None else dict.fromkeys(decision.mailboxes)
            header = decision.headers + target.trace_header
            plan.targets[id_] = [replace(target, trace_header=header, mailbox=mailbox) for mailbox in mailboxes]

    async def _decision(self, mail: Mail, recipient: Recipient, account: Account) -> AccountDecision:
        local = recipient.address.local
        has_detail = bool(self._separator) and local.lower() != account.address.local.lower()
        delivery = AccountDelivery(mail, recipient, account, local.partition(self._separator)[2] if has_detail else "")
        decision = DELIVER
        for stage in self._account_stages:
            decision = await stage.decide(delivery, decision)
        return decision

    def _put(self, mail: Mail, plan: _Plan) -> Put | None:
        """What goes to the queue, if anything does."""
        if self._outgoing is None or not (plan.outside or plan.held):
            return None
        envelope = mail.envelope
        sender = self._rewritten(mail, plan)
        recipients = [
            (recipient, self._routes.destination(recipient.address, sender.address))
            for recipient in plan.outside.values()
        ]
        recipients += [(recipient, LOCAL) for recipient in plan.held.values()]
        now = int(self._clock())
        due = max(now, mail.hold_until)
        fresh = Fresh(
            envelope.id,
            len(self._trace_of_queued(mail, plan)) + mail.body.octets,
            sender,
            mail.account.id if mail.account else None,
            mail.message_id,
            now,
            due + int(self._expire),
            tuple(recipients),
            due,
        )
        destinations = [destination for _, destination in recipients]
        at_once = due <= now and self._active is not None and self._active.has_room_for(destinations)
        return self._outgoing.put(fresh, mine=at_once)

    def _rewritten(self, mail: Mail, plan: _Plan) -> ReversePath:
        """SPF at the far end looks at the reverse-path: what we only forward must not claim to come from its sender."""
        sender = mail.envelope.sender
        address = sender.address
        forwards = bool(plan.outside) and plan.forwarded and not mail.may_relay
        if address is None or not forwards or self._directory.addresses.is_local_domain(address.domain):
            return sender
        srs = self._srs()
        return sender if srs is None else replace(sender, address=srs.forward(address))

    def _targets(self, mail: Mail, plan: _Plan, *, queued: bool) -> list[Target]:
        targets = [target for each in plan.targets.values() for target in each]
        if mail.sent_copy and mail.account is not None:
            targets.append(Target(mail.account.id, mail.trace, SENT))
        if queued:
            trace = self._trace_of_queued(mail, plan)
            targets.append(Target(ACCOUNT, trace, MAILBOX))  # the last: the queue looks for it there
        return targets

    def _trace_of_queued(self, mail: Mail, plan: _Plan) -> bytes:
        """What stands before the body that goes out. The alias it was forwarded by, so that a loop ends here.

        Only when it was one alone: else each target could read the others' names, which may have been blind copies.
        In a loop that branches the next round has but one.
        """
        if not plan.forwarded or len(plan.through) != 1:
            return mail.trace
        (alias,) = plan.through
        return delivered_to(alias).encode() + mail.trace

    def _answers(
        self, mail: Mail, plan: _Plan, results: dict[int, DeliveryResult], all_or_nothing: bool
    ) -> list[Reply]:
        answers, recipients = plan.answers, mail.envelope.recipients
        for n, account in plan.served:
            if results.get(account.id) is DeliveryResult.OVER_QUOTA:
                answers[n] = Reply(552, "5.2.2", MAILBOX_FULL.format(recipients[n].address))
        if all_or_nothing and any(answers):
            return [next(answer for answer in answers if answer)] * len(answers)
        verb = "Queued" if plan.outside or plan.held else "Stored"
        kept = Reply(250, "2.0.0", f"{verb} as {format_id(mail.envelope.id)}")
        return [answer or kept for answer in answers]


def _name_for(id_: bytes, address: Address) -> bytes:
    """The name of the delivery that takes a message to one address elsewhere: as old as the message's own."""
    return id_[:6] + sha256(id_ + str(address).encode()).digest()[:10]
