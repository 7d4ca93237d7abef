"""Where somebody else's DNS may lead us: never to ourselves, and inside our network only when the operator says so."""

import pytest

from posthouse.net.may_reach import may_reach

INSIDE = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "fec0::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
]
HERE = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"]
NEVER = [
    "169.254.169.254",
    "fe80::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "0.0.0.0",
    "::",
    "::10.0.0.1",
    "2001:0:a00:1::1",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
]
OUTSIDE = ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", [*INSIDE, *HERE, *NEVER, *OUTSIDE])
def test_where_a_name_may_lead(address: str, private: bool) -> None:
    assert may_reach(address, private=private) is (address in OUTSIDE or (private and address in INSIDE))


@pytest.mark.parametrize("address", [*INSIDE, *HERE, *NEVER, *OUTSIDE])
def test_this_machine_when_a_test_needs_it(address: str) -> None:
    assert may_reach(address, private=False, loopback=True) is (address in HERE or address in OUTSIDE)
