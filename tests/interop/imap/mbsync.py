"""mbsync (isync): a whole account beside a tree of Maildirs, both ways."""

import re
from pathlib import Path

from imapclient.imap_utf7 import decode, encode
from tests.interop.imap.account import ImapAccount
from tests.interop.imap.maildir import MaildirTree
from tests.interop.tools import run, tool

_CHANGES = re.compile(r">>> \d+ (APPEND|STORE|UID STORE|UID FETCH .*BODY|UID EXPUNGE|EXPUNGE|CREATE|UID COPY)")


class Mbsync:
    """One configuration with its Maildirs and its memory, in `home`."""

    def __init__(self, account: ImapAccount, home: Path, tls: str = "IMAPS") -> None:
        self._home = home
        self._rc = home / "mbsyncrc"
        root = home / "Mail"
        root.mkdir()
        self.tree = MaildirTree(
            root, encode=lambda name: encode(name).decode(), decode=lambda name: decode(name.encode())
        )
        port = account.tls_port if tls == "IMAPS" else account.port
        self._rc.write_text(
            f"FSync no\nCopyArrivalDate yes\n\n"
            f"IMAPAccount there\nHost {account.host}\nPort {port}\nUser {account.user}\n"
            f'Pass "{account.password}"\nSSLType {tls}\nSystemCertificates no\nCertificateFile {account.ca_file}\n\n'
            f"IMAPStore far\nAccount there\n\n"
            f"MaildirStore near\nSubFolders Verbatim\nPath {root}/\nInbox {root}/INBOX\n\n"
            f"Channel all\nFar :far:\nNear :near:\nPatterns * INBOX\nCreate Both\nRemove Both\nExpunge Both\n"
            f"SyncState {home}/state/\n"
        )
        (home / "state").mkdir()

    def sync(self) -> list[str]:
        """Both ways, everything; the commands to the server that moved a message or changed something."""
        said = run(tool("mbsync"), "-Dn", "-c", str(self._rc), "all", home=self._home)
        return [line for line in said.splitlines() if _CHANGES.match(line)]
