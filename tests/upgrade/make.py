"""Makes a small data folder with the version that runs it, to be opened by all later ones.

    PYTHONPATH=<its src> python tests/upgrade/make.py FOLDER
    tar -C FOLDER -cJf tests/upgrade/VERSION.tar.xz posthouse.db directory.db destinations.db index.db packs write.lock

It uses nothing but what every version has: the command line, SMTP and POP3. With `--imap` bob's letters get flags, and
two copies: keywords-as-bits.tar.xz was made so, by the last version whose keywords were bits of the flags.
"""

import imaplib
import poplib
import smtplib
import subprocess
import sys
import time
from pathlib import Path

PASSWORD = "correct horse 7"
OFFSET = 23_000


def main(folder: Path, imap: bool) -> None:
    """Two accounts, an alias; letters that were kept, one that was deleted."""
    config = folder.with_name("posthouse.toml")
    services = [("smtp", 25, ""), ("pop3", 110, "\nlisten_tls = []")]
    if imap:
        services.append(("imap", 143, "\nlisten_tls = []"))
    ports = "\n".join(f'[{name}]\nlisten = ["127.0.0.1:{port + OFFSET}"]{more}' for name, port, more in services)
    off = "[submission]\nlisten = []\nlisten_tls = []"
    off += "" if imap else "\n[imap]\nlisten = []\nlisten_tls = []"
    config.write_text(
        f'[server]\nhostname = "mail.example.test"\ndata = "{folder}"\nuser = ""\nworkers = 1\n'
        f"{ports}\n{off}\n[login]\nplain_on_loopback = true\n"
    )
    _run(config, "domain", "add", "example.test", *["--yes"] * imap)
    for name in ("alice", "bob"):
        _run(config, "account", "add", f"{name}@example.test", "--password-stdin", stdin=PASSWORD + "\n")
    _run(config, "alias", "add", "sales@example.test", "alice@example.test", "bob@example.test")
    server = subprocess.Popen([sys.executable, "-m", "posthouse", "serve", "-c", str(config)])
    try:
        _fill()
        if imap:
            _flag()
    finally:
        server.terminate()
        server.wait()


def _fill() -> None:
    for _ in range(100):
        try:
            smtp = smtplib.SMTP("127.0.0.1", 25 + OFFSET)
            break
        except OSError:
            time.sleep(0.1)
    with smtp:
        for number, recipient in enumerate(["alice", "alice", "sales", "bob"]):
            text = f"Subject: letter {number}\r\n\r\nThis is letter {number}.\r\n"
            smtp.sendmail("carol@example.net", [f"{recipient}@example.test"], text)
    pop3 = poplib.POP3("127.0.0.1", 110 + OFFSET)
    pop3.user("alice@example.test")
    pop3.pass_(PASSWORD)
    pop3.dele(1)
    pop3.quit()


def _flag() -> None:
    imap = imaplib.IMAP4("127.0.0.1", 143 + OFFSET)
    imap.login("bob@example.test", PASSWORD)
    imap.create("Work")
    imap.select("INBOX")
    imap.store("1", "+FLAGS", r"(\Seen $Label1 Projekt-X)")
    imap.store("2", "+FLAGS", r"(gone)")
    imap.store("2", "FLAGS", r"(\Deleted projekt-x)")
    imap.copy("1:2", "Work")
    imap.store("1", "-FLAGS", r"($Label1)")
    imap.logout()


def _run(config: Path, *words: str, stdin: str = "") -> None:
    command = [sys.executable, "-m", "posthouse", *words, "-c", str(config)]
    subprocess.run(command, input=stdin, text=True, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--imap" in sys.argv)
