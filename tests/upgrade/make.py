"""Makes a small data folder with the version that runs it, to be opened by all later ones.

    PYTHONPATH=<its src> python tests/upgrade/make.py FOLDER
    tar -C FOLDER -cJf tests/upgrade/VERSION.tar.xz posthouse.db directory.db destinations.db index.db packs write.lock

It uses nothing but what every version has: the command line, SMTP and POP3.
"""

import poplib
import smtplib
import subprocess
import sys
import time
from pathlib import Path

PASSWORD = "correct horse 7"
OFFSET = 23_000


def main(folder: Path) -> None:
    """Two accounts, an alias; letters that were kept, one that was deleted."""
    config = folder.with_name("posthouse.toml")
    ports = "\n".join(
        f'[{name}]\nlisten = ["127.0.0.1:{port + OFFSET}"]' for name, port in (("smtp", 25), ("pop3", 110))
    )
    off = "[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten = []\nlisten_tls = []"
    config.write_text(
        f'[server]\nhostname = "mail.example.test"\ndata = "{folder}"\nuser = ""\nworkers = 1\n'
        f"{ports}\nlisten_tls = []\n{off}\n[login]\nplain_on_loopback = true\n"
    )
    _run(config, "domain", "add", "example.test")
    for name in ("alice", "bob"):
        _run(config, "account", "add", f"{name}@example.test", "--password-stdin", stdin=PASSWORD + "\n")
    _run(config, "alias", "add", "sales@example.test", "alice@example.test", "bob@example.test")
    server = subprocess.Popen([sys.executable, "-m", "posthouse", "serve", "-c", str(config)])
    try:
        _fill()
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


def _run(config: Path, *words: str, stdin: str = "") -> None:
    command = [sys.executable, "-m", "posthouse", *words, "-c", str(config)]
    subprocess.run(command, input=stdin, text=True, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
