"""Draw docs/dev.svg: what `posthouse dev` shows in a terminal, as it is today, with a message that comes in."""

import html
import os
import pty
import re
import signal
import smtplib
import sys
import time
from email.message import EmailMessage
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 20.0
_WIDTH, _TOP, _LINE = 930, 60, 20
_STYLES = {
    "1": 'font-weight="bold" fill="#eceff4"',
    "2": 'fill="#8892a2"',
    "36": 'fill="#88c0d0"',
    "32": 'fill="#a3be8c"',
    "33": 'fill="#ebcb8b"',
}


def shown() -> str:
    """Start the program on a terminal of its own and read until it has written everything."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["COLUMNS"] = "96"
        os.execv(sys.executable, [sys.executable, "-m", "posthouse", "dev"])
    text, limit = b"", time.monotonic() + _SECONDS
    while b"Ctrl-C" not in text and time.monotonic() < limit:
        text += os.read(terminal, 65536)
    _use_it()
    while b"refused" not in text and time.monotonic() < limit:
        text += os.read(terminal, 65536)
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)
    return text.decode().replace("\r\n", "\n").strip("\n")


def _use_it() -> None:
    """What an application does: a receipt, and one that has a bad address."""
    message = EmailMessage()
    message["Subject"] = "Your receipt"
    message["From"], message["To"] = "app@myapp.test", "customer@example.com"
    message.set_content("Thank you!")
    message.add_alternative("<p>Thank you!", subtype="html")
    with smtplib.SMTP("127.0.0.1", 1025, local_hostname="localhost") as client:
        client.send_message(message)
        client.docmd("MAIL", "FROM:<app@myapp.test>")
        client.docmd("RCPT", "TO:<customer@example..com>")


def drawn(text: str) -> str:
    """The text of a terminal, with its colours, as SVG."""
    lines = text.split("\n")
    rows = "\n".join(
        f'<text x="20" y="{_TOP + n * _LINE}" xml:space="preserve">{_spans(line)}</text>'
        for n, line in enumerate(lines)
    )
    height = _TOP + len(lines) * _LINE
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"
  aria-label="posthouse dev in a terminal" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
  font-size="14" fill="#d8dee9">
<rect width="100%" height="100%" rx="10" fill="#20242c"/>
<g fill="#4c566a"><circle cx="22" cy="20" r="6"/><circle cx="42" cy="20" r="6"/><circle cx="62" cy="20" r="6"/></g>
{rows}
</svg>
"""


def _spans(line: str) -> str:
    parts = re.split(r"\x1b\[(\d+)m", line)
    spans = [html.escape(parts[0])]
    for style, text in zip(parts[1::2], parts[2::2], strict=True):
        spans.append(f"<tspan {_STYLES[style]}>{html.escape(text)}</tspan>" if style != "0" else html.escape(text))
    return "".join(spans)


def main() -> None:
    """Write the picture."""
    prompt = "\x1b[2m$\x1b[0m \x1b[1mmake run\x1b[0m\n"
    (ROOT / "docs" / "dev.svg").write_text(drawn(prompt + "\n" + shown()))


if __name__ == "__main__":
    main()
