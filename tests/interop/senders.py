"""Foreign SMTP clients, each behind one call: send these octets over this way to that server.

What each does to the octets by itself, so that a test compares the right thing:
- swaks fills in %TOKENS% and ends the data unless told not to; it is told not to, and given the wire form;
- msmtp adds Date and removes Bcc unless told not to; it reads LF lines and sends CRLF;
- curl doubles dots and sends the file as it is;
- smtplib sends octets as they are and doubles dots;
- s-nail composes: it takes a text and files, never a whole message.
"""

import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from tests.interop.tools import run, tool
from tests.outside.wire import dot_stuffed, trusting


class Way(Enum):
    """How the connection is protected."""

    PLAIN = "plain"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True)
class Login:
    """Who logs in, and with which SASL mechanism."""

    user: str
    password: str
    mechanism: str = "PLAIN"


@dataclass(frozen=True)
class Sending:
    """One message on its way out of a client."""

    port: int
    way: Way
    message: bytes
    recipient: str
    sender: str = "sender@client.test"
    login: Login | None = None


Sender = Callable[[Sending, Path], None]


def swaks(sending: Sending, home: Path) -> None:
    """Send with swaks."""
    body = home / "swaks.data"
    body.write_bytes(dot_stuffed(sending.message).removesuffix(b"\r\n"))  # it ends the last line itself
    command = [tool("swaks"), "--server", "127.0.0.1", "--port", str(sending.port), "--helo", "client.test"]
    command += [
        "--from",
        sending.sender,
        "--to",
        sending.recipient,
        "--hide-all",
        "--no-data-fixup",
        "--data",
        f"@{body}",
    ]
    command += {Way.PLAIN: [], Way.STARTTLS: ["--tls"], Way.TLS: ["--tls-on-connect"]}[sending.way]
    if login := sending.login:
        command += ["--auth", login.mechanism, "--auth-user", login.user, "--auth-password", login.password]
    run(*command, home=home)


def msmtp(sending: Sending, home: Path) -> None:
    """Send with msmtp (GnuTLS, GNU SASL)."""
    command = [
        tool("msmtp"),
        "--host=127.0.0.1",
        f"--port={sending.port}",
        "--domain=client.test",
        "--tls-certcheck=off",
    ]
    command += [
        f"--from={sending.sender}",
        "--set-date-header=off",
        "--set-msgid-header=off",
        "--remove-bcc-headers=off",
    ]
    command += ["--set-from-header=off", f"--tls={'off' if sending.way is Way.PLAIN else 'on'}"]
    command += [f"--tls-starttls={'on' if sending.way is Way.STARTTLS else 'off'}"]
    if login := sending.login:
        secret = home / "msmtp.password"
        secret.write_text(login.password + "\n")
        command += [f"--auth={login.mechanism.lower()}", f"--user={login.user}", f"--passwordeval=cat {secret}"]
    run(*command, "--", sending.recipient, home=home, stdin=sending.message)


def curl(sending: Sending, home: Path) -> None:
    """Send with curl."""
    body = home / "curl.data"
    body.write_bytes(sending.message)
    scheme = "smtps" if sending.way is Way.TLS else "smtp"
    command = [tool("curl"), "--silent", "--show-error", "--insecure", "--max-time", "100"]
    command += ["--mail-from", sending.sender, "--mail-rcpt", sending.recipient, "--upload-file", str(body)]
    command += ["--ssl-reqd"] if sending.way is Way.STARTTLS else []
    if login := sending.login:
        command += ["--user", f"{login.user}:{login.password}", "--login-options", f"AUTH={login.mechanism}"]
    run(*command, f"{scheme}://127.0.0.1:{sending.port}/client.test", home=home)


def with_smtplib(sending: Sending, home: Path) -> None:
    """Send with Python's smtplib."""
    if sending.way is Way.TLS:
        open_client: smtplib.SMTP = smtplib.SMTP_SSL(
            "127.0.0.1", sending.port, local_hostname="client.test", timeout=100, context=trusting()
        )
    else:
        open_client = smtplib.SMTP("127.0.0.1", sending.port, local_hostname="client.test", timeout=100)
    with open_client as client:
        if sending.way is Way.STARTTLS:
            client.starttls(context=trusting())
        client.ehlo_or_helo_if_needed()
        if login := sending.login:
            client.user, client.password = login.user, login.password
            client.auth(login.mechanism, getattr(client, f"auth_{login.mechanism.lower()}"))
        options = ["BODY=8BITMIME"] if any(octet > 127 for octet in sending.message) else []
        if not (sending.sender + sending.recipient).isascii():
            options.append("SMTPUTF8")
        client.sendmail(sending.sender, [sending.recipient], sending.message, options)


def s_nail(sending: Sending, home: Path, *, attach: Path | None = None) -> None:
    """Compose with s-nail: `message` is the body text alone, lines ended by CRLF."""
    scheme = "smtps" if sending.way is Way.TLS else "smtp"
    login = sending.login
    who = f"{quote(login.user, safe='')}:{quote(login.password, safe='')}@" if login else ""
    settings = ["v15-compat", "hostname=client.test", "tls-verify=ignore"]
    settings += [f"mta={scheme}://{who}127.0.0.1:{sending.port}", f"from={sending.sender}"]
    settings += [f"smtp-auth={login.mechanism.lower()}" if login else "smtp-auth=none"]
    settings += ["smtp-use-starttls"] if sending.way is Way.STARTTLS else []
    command = [tool("s-nail"), "-:/", "-s", "composed by s-nail", "-r", sending.sender]
    command += [part for setting in settings for part in ("-S", setting)]
    command += ["-a", str(attach)] if attach else []
    run(*command, sending.recipient, home=home, stdin=sending.message.replace(b"\r\n", b"\n"))


WHOLE: dict[str, Sender] = {"swaks": swaks, "msmtp": msmtp, "curl": curl, "smtplib": with_smtplib}
MECHANISMS = {
    "swaks": ("PLAIN", "LOGIN"),
    "msmtp": ("PLAIN", "LOGIN", "SCRAM-SHA-256"),
    "curl": ("PLAIN", "LOGIN"),
    "smtplib": ("PLAIN", "LOGIN"),
    "s-nail": ("PLAIN", "LOGIN"),
}
