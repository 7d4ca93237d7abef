"""The names of this machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.net.dns.hosts_file import HostsFile, parse

TEXT = """
127.0.0.1\tlocalhost
::1 localhost ip6-localhost  # loopback
10.0.0.5 Relay.Internal relay
10.0.0.6 relay.internal
not-an-address broken
10.0.0.7
#10.0.0.8 hidden
"""


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("localhost", ("127.0.0.1", "::1")),
        ("LOCALHOST.", ("127.0.0.1", "::1")),
        ("a.localhost", ("127.0.0.1", "::1")),
        ("relay.internal", ("10.0.0.5", "10.0.0.6")),
        ("relay", ("10.0.0.5",)),
        ("broken", ()),
        ("hidden", ()),
        ("smtp.example.org", ()),
    ],
)
def test_names(name: str, addresses: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(TEXT)
    assert HostsFile(tmp_path / "hosts").addresses(name) == addresses


def test_changes_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert hosts.addresses("localhost") == ("127.0.0.1", "::1")
    assert hosts.addresses("relay") == ()
    path.write_text("10.0.0.5 relay\n")
    assert hosts.addresses("relay") == ("10.0.0.5",)
    path.write_text("10.0.0.66 relay\n")
    assert hosts.addresses("relay") == ("10.0.0.66",)
    path.unlink()
    assert hosts.addresses("relay") == ()


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    assert all(addresses and name for name, addresses in parse(text).items())
