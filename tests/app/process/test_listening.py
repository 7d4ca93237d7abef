"""Binding the ports: shares for each worker, and errors that name the port and the fix."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.services import ListenRequest, Service, listen_requests
from posthouse.app.config.settings import LmtpSection, Settings
from posthouse.app.errors import CommandError, Exit
from posthouse.app.process.listening import BoundService, bind_all, close_all


@pytest.fixture
def opened() -> Iterator[list[BoundService]]:
    bound: list[BoundService] = []
    yield bound
    close_all(bound)


def smtp_at(endpoint: Endpoint) -> list[ListenRequest]:
    return [ListenRequest(Service.SMTP, endpoint, "smtp.listen")]


def test_each_worker_has_a_socket_on_the_same_port(opened: list[BoundService]) -> None:
    opened += bind_all(smtp_at(Endpoint("127.0.0.1", 0)), 3)
    (bound,) = opened
    ports = {sock.getsockname()[1] for sock in bound.sockets}
    assert len(bound.sockets) == 3
    assert ports == {bound.endpoint.port}
    with socket.create_connection(("127.0.0.1", bound.endpoint.port)):
        pass


def test_all_addresses_are_both_families(opened: list[BoundService]) -> None:
    opened += bind_all(smtp_at(Endpoint(port=0)), 1)
    assert opened[0].endpoint.host == "0.0.0.0"
    assert [place.endpoint.host for place in opened[1:]] in ([], ["::"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_named(opened: list[BoundService], workers: int) -> None:
    opened += bind_all(smtp_at(Endpoint("127.0.0.1", 0)), workers)
    port = opened[0].endpoint.port
    with pytest.raises(CommandError) as caught:
        bind_all(smtp_at(Endpoint("127.0.0.1", port)), workers)
    assert caught.value.text == f"port {port} (smtp) is already in use"
    assert caught.value.fix == f"See who has it: ss -ltnp 'sport = :{port}'; or choose another: smtp.listen"
    assert caught.value.code == Exit.UNAVAILABLE


def test_nothing_stays_bound_when_one_fails(opened: list[BoundService], tmp_path: Path) -> None:
    opened += bind_all(smtp_at(Endpoint("127.0.0.1", 0)), 1)
    path = str(tmp_path / "sock")
    with pytest.raises(CommandError):
        bind_all([*smtp_at(Endpoint(path=path)), *smtp_at(Endpoint("127.0.0.1", opened[0].endpoint.port))], 1)
    assert not Path(path).exists()


def test_a_foreign_address(opened: list[BoundService]) -> None:
    with pytest.raises(CommandError, match=r"cannot listen at 192\.0\.2\.1:2525 \(smtp\)"):
        opened += bind_all(smtp_at(Endpoint("192.0.2.1", 2525)), 1)
    with pytest.raises(CommandError, match=r"no\.such\.host\.invalid is no address or host name"):
        opened += bind_all(smtp_at(Endpoint("no.such.host.invalid", 2525)), 1)


def test_unix_sockets(opened: list[BoundService], tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp.sock")
    opened += bind_all(smtp_at(Endpoint(path=path)), 2)
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    with pytest.raises(CommandError, match="already in use"):
        bind_all(smtp_at(Endpoint(path=path)), 1)
    for sock in opened[0].sockets:
        sock.close()
    opened[:] = bind_all(smtp_at(Endpoint(path=path)), 1)  # what a dead server left is replaced
    close_all(opened)
    assert not Path(path).exists()
    Path(path).write_text("precious")
    with pytest.raises(CommandError, match="already in use"):
        bind_all(smtp_at(Endpoint(path=path)), 1)
    assert Path(path).read_text() == "precious"
    opened.clear()


def test_low_ports_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_sock: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(CommandError, match=r"port 25 \(smtp\) may be bound by root only") as caught:
        bind_all(smtp_at(Endpoint("127.0.0.1", 25)), 1)
    assert caught.value.code == Exit.NO_PERMISSION


def test_what_the_configuration_wants() -> None:
    settings = Settings(lmtp=LmtpSection(listen=(Endpoint(path="/run/lmtp"),)))
    assert [(str(place.service), str(place.endpoint)) for place in listen_requests(settings)] == [
        ("smtp", ":25"),
        ("submission", ":587"),
        ("submissions", ":465"),
        ("lmtp", "unix:/run/lmtp"),
        ("pop3", ":110"),
        ("pop3s", ":995"),
        ("imap", ":143"),
        ("imaps", ":993"),
    ]
    assert [place.service for place in listen_requests(settings) if place.service.is_tls] == [
        "submissions",
        "pop3s",
        "imaps",
    ]
