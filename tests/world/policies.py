"""The web server of MTA-STS policies, for all domains of the world at once (RFC 8461 3.3)."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.world.net import Host
from tests.world.trust import Certificate

PATH = "/.well-known/mta-sts.txt"


def policy(mode: str, *mx: str) -> str:
    """The text of a policy."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {name}" for name in mx), "max_age: 86400"]
    return "".join(line + "\r\n" for line in lines)


class Policies:
    """Serves `texts` by domain; another domain's policy is not found. `asked` lists the domains that were asked for."""

    def __init__(self, host: Host, certificate: Certificate) -> None:
        self.texts: dict[str, str] = {}
        self.asked: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.chain, certificate.key)
        self._host = host

    def find(self, host: str, path: str) -> str | None:
        """What stands at https://host/path."""
        domain = host.partition(":")[0].removeprefix("mta-sts.")
        self.asked.append(domain)
        return self.texts.get(domain) if path == PATH else None

    @contextmanager
    def serving(self) -> Iterator["Policies"]:
        """Serve on port 443 meanwhile."""
        server = _Server(("", 443), _Handler, bind_and_activate=False)
        server.socket.close()
        # The handshake is left to the thread of the connection: a client that breaks it off harms no other.
        server.socket = self._context.wrap_socket(
            self._host.listen(443), server_side=True, do_handshake_on_connect=False
        )
        server.policies = self
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    policies: Policies
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not like the certificate goes away: no concern of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10.0
    server: _Server

    def do_GET(self) -> None:
        text = self.server.policies.find(self.headers.get("Host", ""), self.path)
        body = (text or "not here\r\n").encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing is told."""
