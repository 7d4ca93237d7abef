"""What becomes of deliveries, decided from counters alone."""

from posthouse.mailstore.delivery_plan import AccountState, DeliveryPlan, MailboxState
from posthouse.mailstore.interface import INBOX, DeliveryResult, Flag, Target
from tests.stores import NOW, delivery_id

KEPT, ALREADY = DeliveryResult.KEPT, DeliveryResult.ALREADY
OVER_QUOTA, WITHHELD = DeliveryResult.OVER_QUOTA, DeliveryResult.WITHHELD


def plan() -> DeliveryPlan:
    """Account 1 holds one message of 100 octets in INBOX, whose uid is 7."""
    found = DeliveryPlan(NOW)
    found.accounts[1] = AccountState(1, (5, 9, 2, 1000, 1, 100))
    found.mailboxes[1, INBOX] = MailboxState(1, INBOX, 1, 1000, 8, (5, 1, 1, 0, 100))
    return found


def test_quota_counts_what_came_before_in_the_same_delivery() -> None:
    targets = [Target(1, b"12", quota=140), Target(1, b"", "Other", quota=140), Target(2, b"", quota=20)]
    assert plan().decide(b"", 20, targets, all_or_nothing=False) == [KEPT, OVER_QUOTA, KEPT]
    assert plan().decide(b"", 20, targets, all_or_nothing=True) == [WITHHELD, OVER_QUOTA, WITHHELD]


def test_a_mailbox_gets_a_delivery_once() -> None:
    states, name = plan(), delivery_id()
    targets = [Target(1, b""), Target(1, b"")]
    assert states.decide(name, 20, targets, all_or_nothing=True) == [KEPT, ALREADY]
    states.add(name, targets[0], 20, 0)
    assert states.decide(name, 20, targets, all_or_nothing=True) == [ALREADY, ALREADY]
    assert states.decide(b"", 20, targets, all_or_nothing=True) == [KEPT, ALREADY]
    states.add(b"", targets[0], 20, 0)
    assert states.decide(b"", 20, targets, all_or_nothing=True) == [KEPT, ALREADY]  # without a name: another one


def test_deciding_changes_nothing() -> None:
    states = plan()
    states.decide(delivery_id(), 20, [Target(1, b""), Target(3, b"", "New")], all_or_nothing=False)
    assert not states.touched and not states.delivered and list(states.accounts) == [1]
    assert states.accounts[1].next_message == 9


def test_a_copy_is_counted() -> None:
    states = plan()
    copy = states.add(delivery_id(), Target(1, b"12"), 22, int(Flag.SEEN | Flag.DELETED))
    assert (copy.message, copy.uid) == (9, 8)
    account, box = states.accounts[1], states.touched[1, INBOX]
    assert copy.account is account and copy.mailbox is box
    assert (account.modseq, account.next_message, account.messages, account.octets) == (6, 10, 2, 122)
    assert (box.uidnext, box.modseq, box.messages, box.unseen, box.deleted, box.octets) == (9, 6, 2, 1, 1, 122)


def test_new_mailboxes_have_numbers_that_were_never_given() -> None:
    states = plan()
    states.accounts[1].uidvalidity = NOW + 5  # the clock was set back
    first = states.add(b"", Target(1, b"", "A"), 20, 0).mailbox
    second = states.add(b"", Target(1, b"", "B"), 20, 0).mailbox
    assert (first.mailbox, second.mailbox) == (2, 3)
    assert (first.uidvalidity, second.uidvalidity) == (NOW + 6, NOW + 7)
    fresh = states.add(b"", Target(2, b""), 20, 0)
    assert (fresh.message, fresh.uid, fresh.mailbox.mailbox, fresh.mailbox.uidvalidity) == (1, 1, 1, NOW)
