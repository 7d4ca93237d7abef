"""imapflow, the IMAP client of JavaScript: steps are carried out by node, results come back as JSON has them."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.interop.imap.account import ImapAccount
from tests.interop.tools import tool

LIBRARY = Path(__file__).parents[3] / ".work" / "node" / "node_modules" / "imapflow"
SCRIPT = Path(__file__).with_name("imapflow.js")

Step = tuple[Any, ...]  # a method of imapflow (or of the script: say, event, attempt ...) and its arguments


class ImapflowError(AssertionError):
    """A step failed; holds what node wrote."""


def octets(message: bytes) -> dict[str, str]:
    """An argument that is a Buffer there."""
    return {"base64": base64.b64encode(message).decode()}


def from_buffer(value: dict[str, str]) -> bytes:
    """A result that was a Buffer there."""
    return base64.b64decode(value["base64"])


def imapflow(
    account: ImapAccount,
    *steps: Step,
    tls: bool = True,
    password: str = "",
    when_said: Callable[[str], None] | None = None,
) -> list[Any]:
    """What each step gave. `when_said` is called with the word of each step ("say", word) when it is reached."""
    if not LIBRARY.is_dir():
        pytest.fail("imapflow is not there: npm install --prefix .work/node imapflow")
    options = {
        "host": account.host,
        "port": account.tls_port if tls else account.port,
        "secure": tls,
        "auth": {"user": account.user, "pass": password or account.password},
        "tls": {"ca": account.ca_file.read_text()},
    }
    command = [tool("node"), str(SCRIPT), str(LIBRARY)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as node:
        assert node.stdin is not None and node.stdout is not None and node.stderr is not None
        try:
            node.stdin.write(json.dumps({"options": options, "steps": steps}) + "\n")
            node.stdin.close()
            for line in node.stdout:
                said = json.loads(line)
                if isinstance(said, list):
                    return said
                assert when_said is not None
                when_said(said)
            raise ImapflowError(node.stderr.read()[-4000:])
        finally:
            node.kill()
