"""offlineimap: the other program that keeps a whole account beside a tree of Maildirs, with code of its own."""

import re
from pathlib import Path

from tests.interop.imap.account import ImapAccount
from tests.interop.imap.maildir import MaildirTree
from tests.interop.tools import run, tool

_CHANGES = re.compile(r"(Copy message|Adding flag|Deleting|Creating folder) ")


class Offlineimap:
    """One configuration with its Maildirs and its memory, in `home`."""

    def __init__(self, account: ImapAccount, home: Path) -> None:
        self._home = home
        self._rc = home / "offlineimaprc"
        root = home / "Mail"
        root.mkdir()
        self.tree = MaildirTree(root)
        self._rc.write_text(
            f"[general]\naccounts = all\nmetadata = {home}/state\nmaxsyncaccounts = 1\nfsync = False\n\n"
            f"[Account all]\nlocalrepository = near\nremoterepository = far\nutf8foldernames = yes\n\n"
            f"[Repository near]\ntype = Maildir\nlocalfolders = {root}\nsep = /\nsync_deletes = yes\n\n"
            f"[Repository far]\ntype = IMAP\nremotehost = {account.host}\nremoteport = {account.tls_port}\n"
            f"ssl = yes\nsslcacertfile = {account.ca_file}\nremoteuser = {account.user}\n"
            f"remotepass = {account.password}\nmaxconnections = 2\n"
        )

    def sync(self) -> list[str]:
        """Both ways, everything; what it says that it changed on either side."""
        said = run(tool("offlineimap"), "-c", str(self._rc), "-o", "-u", "basic", home=self._home)
        return [line for line in said.splitlines() if _CHANGES.match(line)]
