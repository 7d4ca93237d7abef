"""Places to listen at."""

import pytest

from posthouse.app.config.endpoints import Endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("0.0.0.0:25", Endpoint("0.0.0.0", 25)),
        ("[::]:25", Endpoint("::", 25)),
        ("[0:0::1]:25", Endpoint("::1", 25)),
        ("[::ffff:127.0.0.1]:25", Endpoint("127.0.0.1", 25)),
        (":25", Endpoint("", 25)),
        ("*:25", Endpoint("", 25)),
        ("localhost:0", Endpoint("localhost", 0)),
        ("unix:/run/lmtp.sock", Endpoint(path="/run/lmtp.sock")),
        ("/run/lmtp.sock", Endpoint(path="/run/lmtp.sock")),
    ],
)
def test_what_can_be_written(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "25",
        "host",
        "host:",
        "host:smtp",
        "host:65536",
        "::1:25",
        "[::1]",
        "[x]:25",
        "unix:",
        "unix:a",
        "a b:25",
        "h:²",
    ],
)
def test_what_cannot(text: str) -> None:
    with pytest.raises(ValueError, match=r"like"):
        Endpoint.parse(text)


def test_a_socket_path_has_a_bound() -> None:
    assert Endpoint.parse("/" + "x" * 106).path
    with pytest.raises(ValueError, match="107 octets"):
        Endpoint.parse("/" + "x" * 107)
