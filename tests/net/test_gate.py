"""Caps on connections."""

from posthouse.net.gate import Gate


def test_in_all() -> None:
    gate = Gate(2, 10)
    assert [gate.enter() for _ in range(3)] == [True, True, False]
    assert (gate.open, gate.refused) == (2, 1)
    gate.leave("")
    assert gate.enter()


def test_of_one_address() -> None:
    gate = Gate(10, 1)
    for ip, welcome in (("192.0.2.1", True), ("192.0.2.1", False), ("192.0.2.2", True), ("", True), ("", True)):
        gate.enter()
        assert gate.take_place(ip) is welcome
        if not welcome:
            gate.leave("")
    assert (gate.open, gate.refused) == (4, 1)
    gate.leave("192.0.2.1")
    assert gate.take_place("192.0.2.1")


def test_it_forgets_who_has_left() -> None:
    gate = Gate(10, 5)
    for number in range(100):
        gate.enter()
        gate.take_place(f"192.0.2.{number}")
        gate.leave(f"192.0.2.{number}")
    assert not gate._places
    assert gate.open == 0


def test_an_ipv6_customer_counts_as_one() -> None:
    gate = Gate(10, 1)
    assert gate.take_place("2001:db8:1:2:3:4:5:6")
    assert not gate.take_place("2001:db8:1:2::")
    assert gate.take_place("2001:db8:1:3::")
