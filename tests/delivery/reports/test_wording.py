"""What people are told of a reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.delivery.reports.wording import explain
from posthouse.message.address import Address
from posthouse.message.reply import Reply

BOB = Address.parse("bob@there.test")


@pytest.mark.parametrize(
    ("code", "enhanced", "what"),
    [
        (550, "5.1.1", "There is no mailbox bob@there.test. Check the spelling"),
        (550, "5.1.2", "There is no mail domain there.test. Check the spelling"),
        (550, "5.4.4", "No mail server can be found for there.test. Check the spelling"),
        (556, "5.1.10", "there.test does not take mail at all."),
        (552, "5.2.2", "The mailbox bob@there.test is full. Try again later"),
        (552, "5.2.3", "The message is too large for the mailbox bob@there.test. Send it smaller"),
        (552, "5.3.4", "The message is too large for the server of there.test. Send it smaller"),
        (553, "5.6.7", "The server of there.test does not know addresses and headers with letters beyond ASCII."),
        (550, "5.7.1", "The server of there.test refuses the message"),
        (550, "5.7.26", "The server of there.test does not believe that the message comes from you."),
        (550, "5.7.10", "The server of there.test takes mail over encrypted connections only."),
        (550, "5.7.999", "The server of there.test refuses the message."),
        (550, "5.2.999", "The mailbox bob@there.test cannot take the message."),
        (552, "", "The mailbox bob@there.test is full."),
        (556, "", "there.test does not take mail at all."),
        (550, "", "The server of there.test refuses the message to bob@there.test."),
        (554, "5.0.0", "The server of there.test refuses the message to bob@there.test."),
        (451, "4.2.2", "The message to bob@there.test could not be delivered yet. There is nothing to do"),
        (250, "2.0.0", "The message to bob@there.test is on its way, or has arrived."),
    ],
)
def test_what_happened_and_what_to_do(code: int, enhanced: str, what: str) -> None:
    assert explain(Reply(code, enhanced, "words"), BOB, spoken=True, expired=False).startswith(what)


def test_the_last_of_many_tries() -> None:
    text = explain(Reply(451, "4.4.1", "no answer"), BOB, spoken=False, expired=True)
    assert text.startswith("The message to bob@there.test was given up after many tries over days.")
    assert "The server of there.test does not answer" in text and "Try again later" in text


def test_words_of_ours_are_not_laid_to_the_other_server() -> None:
    text = explain(Reply(554, "", "no way"), BOB, spoken=False, expired=False)
    assert text.startswith("The message to bob@there.test could not be delivered.")
    text = explain(Reply(554, "5.6.3", "it cannot be converted"), BOB, spoken=False, expired=False)
    assert text.startswith("The message would have to be changed") and "server" not in text


@given(
    st.integers(200, 599),
    st.one_of(st.just(""), st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True), st.text(max_size=9)),
    st.sampled_from(["bob@there.test", '"{address} {0}"@there.test', "jörg@bücher.test", "bob@[192.0.2.1]"]),
    st.booleans(),
    st.booleans(),
)
def test_there_is_always_something_to_say(code: int, enhanced: str, to: str, spoken: bool, expired: bool) -> None:
    text = explain(Reply(code, enhanced, "{x}"), Address.parse(to), spoken=spoken, expired=expired)
    assert text.endswith(".") and ". " in text and "{x}" not in text
    assert len(text) < 400
