"""What a transaction keeps of its recipients is bounded in octets, not only in number."""

from tests.protocol.smtp_fixture import Fixture


def test_long_recipients_are_fewer() -> None:
    house = Fixture({"max_recipients": "100"})
    engine = house.engine
    replies = []

    def ask(line: bytes) -> bytes:
        engine.receive_data(line + b"\r\n")
        while (event := engine.next_event()) is not None:
            house.answer(event)
        return engine.data_to_send()

    ask(b"EHLO client.test")
    ask(b"MAIL FROM:<a@client.test>")
    for number in range(70):
        replies.append(ask(b"RCPT TO:<u%d@example.test> ORCPT=rfc822;%b@x.test" % (number, b"x" * 450))[:3])
    assert replies == [b"250"] * replies.count(b"250") + [b"452"] * replies.count(b"452")
    assert 45 < replies.count(b"250") < 60  # 25,600 octets
    ask(b"RSET")
    ask(b"MAIL FROM:<a@client.test>")
    for number in range(100):  # RFC 5321 4.5.3.1.8, with paths as long as 4.5.3.1.3 allows
        path = b"u%d.%b@example.test" % (number, b"y" * 50)
        assert ask(b"RCPT TO:<%b>" % path).startswith(b"250")
