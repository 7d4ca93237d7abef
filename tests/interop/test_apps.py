"""Ordinary programs that send mail, written as their libraries' manuals say, against `posthouse dev` as it starts.

They know nothing of Posthouse: where the server is and how to log in comes from their environment, as it would in
production. That the certificate can be trusted is said in the way that `posthouse dev` prints.
"""

import os
import subprocess
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from tests.app.dev.program import Dev, dev
from tests.interop.tools import SECONDS, tool
from tests.outside.maildrop import Maildrop

ROOT = Path(__file__).parents[2]
APPS = Path(__file__).parent / "apps"
PYTHON = ROOT / ".work" / "apps" / "bin" / "python"
NODE_MODULES = ROOT / ".work" / "node" / "node_modules"
LOGIN = {"MAIL_USERNAME": "apikey", "MAIL_PASSWORD": "SG.not-a-secret"}

WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "plain": ("smtp", {}),
    "login": ("smtp", LOGIN),
    "starttls": ("submission", LOGIN | {"MAIL_STARTTLS": "1"}),
    "tls": ("submissions", LOGIN | {"MAIL_SSL": "1"}),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with dev("--quiet", temporary=tmp_path_factory.mktemp("apps")) as program:
        yield program


def command(app: Path) -> list[str]:
    if app.suffix == ".js":
        assert (NODE_MODULES / "nodemailer").is_dir(), "nodemailer is not there: make test installs it"
        return [tool("node"), str(app)]
    assert PYTHON.exists(), "the libraries are not there: make test installs them into .work/apps"
    return [str(PYTHON), str(app)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("app", sorted(path.name for path in APPS.iterdir() if path.suffix in (".py", ".js")))
def test_it_sends(program: Dev, app: str, way: str, tmp_path: Path) -> None:
    service, settings = WAYS[way]
    name = Path(app).stem.replace("_", "-")
    recipient = f"{name}.{way}@customer-{way}.example.com"
    certificate = program.ready["certificate"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "NODE_PATH": str(NODE_MODULES),
        "SSL_CERT_FILE": certificate,
        "NODE_EXTRA_CA_CERTS": certificate,
        "MAIL_SERVER": program.ready["host"],
        "MAIL_PORT": str(program.ports[service]),
        "RECIPIENT": recipient,
        "SUBJECT": f"Grüße {way}",
        **settings,
    }
    done = subprocess.run(
        command(APPS / app), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with Maildrop.open(program.ports["pop3"], recipient, "any") as drop:
        assert len(drop.sizes()) == 1
        found = message_from_bytes(drop.retrieve(1), policy=policy.default)
    assert found["Subject"] == f"Grüße {way}"
    assert "app@myapp.example.com" in found["From"]
    body = found.get_body()
    assert body is not None and "Thank you, Jörg!" in body.get_content()
