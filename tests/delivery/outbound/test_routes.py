"""Which way a recipient's mail takes."""

import pytest

from posthouse.delivery.outbound.routes import Route, Routes, domain_of
from posthouse.message.address import Address

A = Address.parse("a@here.test")


@pytest.mark.parametrize(
    ("patterns", "address", "fits"),
    [
        (("*",), "x@any.test", True),
        (("y.test",), "x@y.test", True),
        (("y.test",), "x@Y.TEST", True),
        (("y.test",), "x@sub.y.test", False),
        ((".y.test",), "x@sub.y.test", True),
        ((".y.test",), "x@y.test", False),
        (("x@y.test",), "X@y.test", True),
        (("x@y.test",), "z@y.test", False),
        (("xn--bcher-kva.test",), "x@bücher.test", True),
        ((), "x@y.test", False),
    ],
)
def test_patterns(patterns: tuple[str, ...], address: str, fits: bool) -> None:
    routes = Routes([Route("r", to=patterns, hosts=(("relay.test", 587),))])
    expected = "route/r" if fits else Address.parse(address).domain_key
    assert routes.destination(Address.parse(address), A) == expected


def test_the_first_that_fits_is_taken() -> None:
    first = Route("first", to=("y.test",), hosts=(("one.test", 25),))
    second = Route("second", hosts=(("two.test", 25),))
    routes = Routes([first, second])
    assert routes.destination(Address.parse("x@y.test"), A) == "route/first"
    assert routes.destination(Address.parse("x@z.test"), A) == "route/second"
    assert routes.route("route/second") is second


def test_a_route_by_sender() -> None:
    routes = Routes([Route("r", sender=("here.test",), hosts=(("relay.test", 587),))])
    assert routes.destination(Address.parse("x@y.test"), A) == "route/r"
    assert routes.destination(Address.parse("x@y.test"), Address.parse("b@there.test")) == "y.test"
    assert routes.destination(Address.parse("x@y.test"), None) == "y.test"


def test_a_route_without_hosts_goes_by_mx() -> None:
    """It only changes the rules: each domain keeps a lane of its own."""
    route = Route("slow", to=("*",), per_minute=5)
    routes = Routes([route])
    destination = routes.destination(Address.parse("x@y.test"), A)
    assert destination == "route/slow/y.test"
    assert routes.route(destination) is route
    assert domain_of(destination, Address.parse("x@y.test")) == "y.test"
    assert domain_of("z.test", Address.parse("x@z.test")) == "z.test"


def test_a_route_that_is_gone() -> None:
    assert Routes().route("route/old") is None
    assert Routes().route("y.test") is None
