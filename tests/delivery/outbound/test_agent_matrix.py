"""Two users of one server: neither can write as the other, whatever the form, for any reader of the result."""

import email
import email.policy
import itertools
from collections.abc import Iterator
from email.utils import getaddresses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.delivery.content.body_with_cuts import without
from posthouse.delivery.inbound.submission import Prepared
from posthouse.message.address import Address, AddressError
from posthouse.message.envelope import ReversePath
from posthouse.message.reply import Reply
from tests.delivery.inbound.test_submission import Fixture

USERS = ("alice@here.test", "alice.bob@here.test", "xbob@here.test")  # no one of them is bob


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    made = Fixture(tmp_path_factory.mktemp("house"))
    made.registry.domains.add("old.test", alias_of="here.test")
    made.registry.aliases.add("robert@here.test", "bob@here.test")
    for user in USERS[1:]:
        made.registry.accounts.add(user, "secret")
    made.registry.accounts.add("bob@bücher.test", "secret")
    yield made
    made.directory.close()
    made.registry.close()
    made.volatile.close()


# Spellings of somebody who is bob, or whom nobody here may write as.
BOB = [
    "bob@here.test",
    "BOB@HERE.TEST",
    '"bob"@here.test',
    '"b\\ob"@here.test',
    "bob+detail@here.test",
    "bob+alice@here.test",
    "bob@old.test",
    "Bob+x@OLD.test",
    "robert@here.test",
    "bob@bücher.test",
    "bob@xn--bcher-kva.test",
    "bob@XN--BCHER-KVA.test",
    "bob@BÜCHER.test",
    "bob@here。test",
    "bob@ｈｅｒｅ.test",
    "all@here.test",
    "bob@elsewhere.test",
]

ALICE = "alice@here.test"

FORMS = [
    "From: {bob}",
    "FROM:{bob}",
    "from : {bob}",
    "From:\n {bob}",
    "From: <{bob}>",
    "From: Alice <{bob}>",
    "From: {alice} <{bob}>",
    'From: "{alice}" <{bob}>',
    "From: ({alice}) {bob}",
    "From: {bob} ({alice})",
    "From: (a (b)) {bob}",
    "From: <@{host}:{bob}>",
    "From: {bob}, {alice}\nSender: {alice}",
    "From: {alice}, {bob}\nSender: {alice}",
    "From: {alice}, {bob}",
    "From: {alice},,{bob}",
    "From: {alice} {bob}",
    "From: {alice};{bob}",
    "From: <{alice}> <{bob}>",
    "From: <{alice}><{bob}>",
    "From: <{bob}> {alice}",
    "From: <{alice}, {bob}>",
    "From: Us: {bob};",
    "From: Us: {alice}, {bob};\nSender: {alice}",
    "From: Us: {alice};, {bob}\nSender: {alice}",
    "From: Us: {alice}; {bob}",
    "From: {bob}:{alice};",
    "From: <@x>, <{bob}>, <@y:{alice}>",
    "From: <@{bob}:{alice}>",
    "From: {alice}\nFrom: {bob}",
    "From: {bob}\nFrom: {alice}",
    "From: {alice}\nfrom : {bob}",
    "From: {alice}\nSender: {bob}",
    "Sender: {bob}",
    "From: {alice}\nSender: {alice}\nSender: {bob}",
    "From: {alice}\nSender: {alice}, {bob}",
    "From: {alice}\n\tSender: x\nSender: {bob}",
    "\tFrom: {bob}",
    " , {bob}\nDate: x\nMessage-ID: <x@x>",
    "From: {alice}\nFrom\0: {bob}",
    "From: {alice}\nFr om: {bob}",
    "From: {alice}\n\ufeffFrom: {bob}",
    "\ufeffFrom: {bob}\nFrom: {alice}",
    "From: {alice}\x0b, {bob}",
    "From: {bob}\0 <{alice}>",
    '"From": {bob}\nFrom: {bob}',
    "Subject: x\n \nFrom: {bob}",
]


def test_the_forms_are_fine_for_alice_herself(house: Fixture) -> None:
    """So what refuses bob is not the form alone."""
    taken = [form for form in FORMS if isinstance(prepared(house, form, ALICE), Prepared)]
    assert len(taken) >= 16


@pytest.mark.parametrize("form", FORMS)
def test_one_user_never_writes_as_another(house: Fixture, form: str) -> None:
    for bob in BOB:
        answer = prepared(house, form, bob)
        assert isinstance(answer, Reply), bob
        assert answer.code in (550, 554) and answer.enhanced in ("5.7.1", "5.6.0")
        assert answer.text.isascii() and len(answer.encode()) <= 512


@pytest.mark.parametrize("address", BOB)
def test_nor_in_the_envelope(house: Fixture, address: str) -> None:
    for user in (*USERS, "alice@bücher.test"):
        refusal = house.submission.check_sender(house.account(user), Address.parse(address))
        assert refusal is not None and (refusal.code, refusal.enhanced) == (550, "5.7.1")
        assert refusal.text.isascii() and user.partition("@")[0] in refusal.text


@pytest.mark.parametrize(
    ("user", "value"),
    [
        ("alice.bob@here.test", "alice. bob@here.test"),
        ("alice.bob@here.test", "alice .bob@here.test"),
        ("alice.bob@here.test", "alice(.). bob@here.test"),
        ("alice.bob@here.test", '"alice." bob@here.test'),
        ("xbob@here.test", "x bob@here.test"),
        ("xbob@here.test", "x(y)bob@here.test"),
        ("xbob@here.test", '"x" bob@here.test'),
        ("xbob@here.test", '"x"bob@here.test'),
        ("xbob@here.test", "x\r\n bob@here.test"),
        ("alice@here.test", "=?utf-8?q?bob?=@here.test"),
        ("alice@here.test", '"=?utf-8?q?bob?="@here.test'),
        ("alice@here.test", "=?utf-8?q?bob=40here.test=00?= <alice@here.test>"),
        ("alice@here.test", "=?utf-8?b?Ym9iQGhlcmUudGVzdAo=?= <alice@here.test>"),
        ("alice@here.test", "=?utf-8?q?=3Cbob=40here.test=3E=0A?= <alice@here.test>"),
    ],
)
def test_tricks_with_words(house: Fixture, user: str, value: str) -> None:
    for name in ("From", f"From: {user}\r\nSender"):
        head = f"{name}: {value}\r\n\r\n".encode()
        answer = house.submission.prepare(house.account(user), head, ReversePath(None))
        assert isinstance(answer, Reply), value


def test_who_gets_what_has_no_home_is_not_helped_by_tricks(house: Fixture) -> None:
    house.registry.aliases.add("*@here.test", ALICE)
    try:
        assert isinstance(house.prepare("From: nobody@here.test\n"), Prepared)
        for value in ("=?utf-8?q?bob?=@here.test", '"=?utf-8?q?bob?="@here.test', "x bob@here.test", "bob@here.test"):
            assert isinstance(house.prepare(f"From: {value}\n"), Reply)
    finally:
        house.registry.aliases.remove("*@here.test")


@pytest.mark.parametrize("gap", [b"\n", b"\r", b"\n\r", b"\r\r", b"\r\r\n"])
def test_breaks_that_only_some_readers_see(house: Fixture, gap: bytes) -> None:
    for head in (
        b"From: alice@here.test\r\nSubject: x%sFrom: bob@here.test\r\n\r\n",
        b"Subject: x%sFrom: b@here.test\r\n\r\n",
    ):
        answer = house.submission.prepare(house.account(), head % gap, ReversePath(None))
        assert isinstance(answer, Reply)


PIECES = [
    "alice@here.test", "bob@here.test", "xbob", "bob", "alice", "alice.", "x", "@here.test", "@", ",", ";", ":", "<",
    ">", "(", ")", '"', "\\", " ", "\t", "\r\n ", "Us:", "=?utf-8?q?bob?=", ".", "@x:", "é", "[", "]",
]  # fmt: skip
VALUES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join)
NAMES = st.sampled_from(["From", "from ", "FROM", "Sender", "Subject", "\tFrom", "X", "Bcc", "Date", "Message-ID"])
HEADS = st.lists(st.tuples(NAMES, st.one_of(VALUES, st.just(ALICE), st.just("Alice <alice@here.test>"))), max_size=4)


@settings(max_examples=400)
@given(HEADS, st.sampled_from(USERS))
def test_another_reader_finds_nobody_else(house: Fixture, fields: list[tuple[str, str]], user: str) -> None:
    """What is taken is read again by the standard library, which knows nothing of ours."""
    account = house.account(user)
    head = "".join(f"{name}:{value}\r\n" for name, value in fields).encode() + b"\r\n"
    answer = house.submission.prepare(account, head, ReversePath(None))
    if isinstance(answer, Reply):
        assert answer.code in (550, 554) and answer.text.isascii()
        return
    message = email.message_from_bytes(answer.added + without(head, answer.cuts), policy=email.policy.compat32)
    assert len(message.get_all("From", [])) == 1
    assert len(message.get_all("Date", [])) == len(message.get_all("Message-ID", [])) == 1
    assert message["Bcc"] is None
    found = getaddresses([str(value) for name in ("From", "Sender") for value in message.get_all(name, [])])
    authors = [Address.parse(text) for _, text in found if text]
    assert authors and all(house.directory.addresses.may_send_as(account, author) for author in authors)


def prepared(house: Fixture, form: str, bob: str) -> Prepared | Reply:
    """The answer to alice; both addresses filled in."""
    return house.prepare(form.format(bob=bob, alice=ALICE, host="here.test") + "\n")


def test_no_spelling_is_read_as_anybody_here_by_chance(house: Fixture) -> None:
    """Characters that fold into ASCII ones, in every place of the name, lead to bob or to nobody."""
    for place, char in itertools.product(
        range(4), "\u0131\u0130\u017f\u212a\uff42\uff4f\u200b\u00ad\u202e\u0301\u0435"
    ):
        local = "bob"[:place] + char + "bob"[place:]
        try:
            address = Address.parse(f"{local}@here.test")
        except AddressError:
            continue
        assert not house.directory.addresses.may_send_as(house.account(), address)
