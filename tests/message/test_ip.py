"""One form of each address."""

import pytest

from posthouse.message.ip import canonical_ip, canonical_network, customer_network


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:C000:201", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        ("2001:0DB8::0001", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("::1", "::1"),
        ("::192.0.2.1", "::c000:201"),  # RFC 4291 2.5.5.1: another thing, and out of use
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),  # RFC 6052: a translator's, not the client itself
    ],
)
def test_one_form(text: str, ip: str) -> None:
    assert canonical_ip(text) == ip
    assert canonical_ip(ip) == ip


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.256", "192.0.2.01", "1", "::ffff:1.2.3"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        canonical_ip(text)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ],
)
def test_networks(text: str, network: str) -> None:
    assert str(canonical_network(text)) == network


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
        ("what:ever", "what:ever"),
    ],
)
def test_what_counts_as_one_peer(ip: str, network: str) -> None:
    assert customer_network(ip) == network
