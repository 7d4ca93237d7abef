"""NeoMutt on a terminal of its own, with the keys of its user pressed beforehand."""

from collections.abc import Sequence
from pathlib import Path

from tests.interop.imap.account import ImapAccount
from tests.interop.terminal import on_a_terminal, pushed
from tests.interop.tools import tool

_SETTINGS = """
set imap_user="{user}" imap_pass="{password}"
set folder="{url}" spoolfile="+INBOX" record="" postponed="" trash=""
set certificate_file="{ca}" ssl_force_tls=yes ssl_starttls=yes
set imap_condstore=yes imap_qresync=yes imap_idle=yes
set header_cache="{home}/cache" message_cachedir="{home}/bodies"
set imap_check_subscribed=no mail_check=1 timeout=1 sleep_time=0 beep=no wait_key=no
set confirmappend=no confirmcreate=no delete=yes move=no mark_old=no quit=yes resume_draft_files=yes
set sort=mailbox-order
color error red default
"""


def neomutt(account: ImapAccount, home: Path, keys: Sequence[str], folder: str = "INBOX", *, tls: bool = True) -> str:
    """Open `folder`, press `keys` and leave; what stood on the screen. A key is a NeoMutt function or literal text.

    What it caches in `home` is there for the next run, which resynchronises quickly (RFC 7162) where the server can.
    """
    scheme, port = ("imaps", account.tls_port) if tls else ("imap", account.port)
    rc = home / "neomuttrc"
    url = f"{scheme}://{account.host}:{port}/"
    settings = {"user": account.user, "password": account.password, "ca": account.ca_file}
    rc.write_text(_SETTINGS.format(**settings, url=url, home=home))
    command = [tool("neomutt"), "-n", "-F", str(rc), "-f", url + folder, "-e", pushed(*keys, "<quit>")]
    return on_a_terminal(command, home)
