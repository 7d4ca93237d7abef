"""Thunderbird without a screen, told by its Marionette port what to do."""

import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.interop.imap.account import ImapAccount
from tests.interop.tools import tool
from tests.outside.program import START_SECONDS

WORDS = Path(__file__).with_suffix(".js").read_text()
SCRIPT_SECONDS = 60
_PREFERENCES = {
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "mail.biff.on_new_window": False,
    "mail.check_all_imap_folders_for_new": False,
    "mail.provider.enabled": False,
    "mail.rights.version": 1,
    # It keeps a folder busy with nothing that it was not told to do; IDLE alone stays, as a test is about it.
    "mail.server.default.autosync_offline_stores": False,
    "mail.server.default.check_all_folders_for_new": False,
    "mail.server.default.check_new_mail": False,
    "mail.server.default.login_at_startup": False,
    "mail.server.default.offline_download": False,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "network.dns.disableIPv6": True,
    "services.settings.server": "http://127.0.0.1:9/",
}


class Thunderbird:
    """A running one with a profile of its own in `home`."""

    def __init__(self, home: Path, port: int) -> None:
        self._numbers = itertools.count(1)
        self._socket: socket.socket | None = None
        self._log = home / "thunderbird.log"
        profile = home / "profile"
        profile.mkdir()
        wanted = {**_PREFERENCES, "marionette.port": port}
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in wanted.items())
        (profile / "user.js").write_text("".join(lines))
        command = [tool("thunderbird"), "--headless", "--marionette", "--remote-allow-system-access", "--no-remote"]
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--profile", str(profile)], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._socket = self._connected(port)
            self._read()  # its greeting
            # The certificate of `posthouse dev` is its own authority, which this program takes from nobody.
            self._command("WebDriver:NewSession", acceptInsecureCerts=True)
            self._command("Marionette:SetContext", value="chrome")
        except BaseException:
            self.kill()
            raise

    def _connected(self, port: int) -> socket.socket:
        limit = time.monotonic() + START_SECONDS
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), SCRIPT_SECONDS + 5)
            except ConnectionRefusedError:
                assert self._process.poll() is None and time.monotonic() < limit, self._log.read_text()[-4000:]
                time.sleep(0.05)

    def _read(self) -> Any:
        """Each message is its length, a colon, and JSON."""
        length = b""
        while (octet := self._octets(1)) != b":":
            length += octet
        return json.loads(self._octets(int(length)))

    def _octets(self, count: int) -> bytes:
        pieces, left = [], count
        while left:
            assert self._socket is not None
            pieces.append(self._socket.recv(left))
            assert pieces[-1], f"Thunderbird has gone:\n{self._log.read_text()[-4000:]}"
            left -= len(pieces[-1])
        return b"".join(pieces)

    def _command(self, name: str, **parameters: object) -> Any:
        message = json.dumps([0, next(self._numbers), name, parameters]).encode()
        assert self._socket is not None
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def __call__(self, script: str, *given: object) -> Any:
        """What `script` returns: an async function's body over the words of thunderbird.js, with the array `given`."""
        wrapped = (
            f"const done = arguments[arguments.length - 1]; const given = arguments[0];\n{WORDS}\n"
            f"(async () => {{ {script} }})()"
            ".then((value) => done({ value }), (error) => done({ error: `${error}\\n${error.stack}` }));"
        )
        self._command("WebDriver:SetTimeouts", script=SCRIPT_SECONDS * 1000)
        result = self._command("WebDriver:ExecuteAsyncScript", script=wrapped, args=[list(given)], newSandbox=True)
        assert result["value"] is not None and "error" not in result["value"], (script, result)
        return result["value"].get("value")

    def until(self, script: str, *given: object) -> Any:
        """The first true result of `script`, asked again and again."""
        limit = time.monotonic() + START_SECONDS
        while not (value := self(script, *given)):
            assert time.monotonic() < limit, f"not within {START_SECONDS} s: {script} {given}"
            time.sleep(0.05)
        return value

    def kill(self) -> None:
        """With all its helpers."""
        if self._socket is not None:
            self._socket.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def thunderbird(account: ImapAccount, home: Path) -> Iterator[Thunderbird]:
    """A running Thunderbird with this one account, which has asked for the folders."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mail = Thunderbird(home, port)
    try:
        mail("connect(...given)", account.host, account.tls_port, account.user, account.password)
        yield mail
    finally:
        mail.kill()
