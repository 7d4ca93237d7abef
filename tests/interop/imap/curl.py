"""curl's imap:// and imaps:// URLs."""

from pathlib import Path
from urllib.parse import quote

from imapclient.imap_utf7 import encode
from tests.interop.imap.account import ImapAccount
from tests.interop.tools import run, tool


class Curl:
    """Each call is a process and a session of its own. `tls`: from the start, else by STARTTLS."""

    def __init__(self, account: ImapAccount, home: Path, *, tls: bool = True) -> None:
        self._account = account
        self._home = home
        scheme, port = ("imaps", account.tls_port) if tls else ("imap", account.port)
        self._url = f"{scheme}://{account.host}:{port}/"
        self._options = () if tls else ("--ssl-reqd",)

    def __call__(self, where: str = "", *options: str, password: str = "", allowed: tuple[int, ...] = (0,)) -> str:
        """What curl prints for the URL that ends with `where`."""
        return run(*self._command(password), *options, self._url + where, home=self._home, allowed=allowed)

    def _command(self, password: str) -> list[str]:
        user = f"{self._account.user}:{password or self._account.password}"
        command = [tool("curl"), "--silent", "--show-error", "--cacert", str(self._account.ca_file), "--user", user]
        return [*command, "--max-time", "60", *self._options]

    def fetch(self, folder: str, uid: int, section: str = "") -> bytes:
        """A message or a part of it."""
        target = self._home / "fetched"
        self(f"{named(folder)};UID={uid}" + (f"/;SECTION={section}" if section else ""), "--output", str(target))
        return target.read_bytes()

    def append(self, folder: str, message: bytes) -> None:
        """APPEND by --upload-file."""
        source = self._home / "appended"
        source.write_bytes(message)
        self(named(folder), "--upload-file", str(source))


def named(folder: str) -> str:
    """A mailbox name in a URL (curl knows nothing of modified UTF-7)."""
    return quote(encode(folder).decode("ascii"), safe="")
