"""Caps on connections."""

from posthouse.net.connection_limiter import ConnectionLimiter


def test_in_all() -> None:
    gate = ConnectionLimiter(2, 10)
    assert [gate.enter() for _ in range(3)] == [True, True, False]
    assert (gate.open, gate.refused) == (2, 1)
    gate.leave("")
    assert gate.enter()


def test_of_one_address() -> None:
    gate = ConnectionLimiter(10, 1)
    for ip, welcome in (("192.0.2.1", True), ("192.0.2.1", False), ("192.0.2.2", True), ("", True), ("", True)):
        gate.enter()
        assert gate.take_place(ip) is welcome
        if not welcome:
            gate.leave("")
    assert (gate.open, gate.refused) == (4, 1)
    gate.leave("192.0.2.1")
    assert gate.take_place("192.0.2.1")


def test_it_forgets_who_has_left() -> None:
    gate = ConnectionLimiter(10, 5)
    for number in range(100):
        gate.enter()
        gate.take_place(f"192.0.2.{number}")
        gate.leave(f"192.0.2.{number}")
    assert not gate._places
    assert gate.open == 0


def test_an_ipv6_customer_counts_as_one() -> None:
    gate = ConnectionLimiter(10, 1)
    assert gate.take_place("2001:db8:1:2:3:4:5:6")
    assert not gate.take_place("2001:db8:1:2::")
    assert gate.take_place("2001:db8:1:3::")
