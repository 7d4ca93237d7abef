"""Java programs of one file, with JavaMail; compiled once for each version of the file."""

import hashlib
import os
import shutil
from pathlib import Path

from tests.interop.tools import run, tool

MAIL = Path("/usr/share/java/javax.mail.jar")
ACTIVATION = Path("/usr/share/java/javax.activation.jar")
BUILT = Path(__file__).parents[2] / ".work" / "java"
_STORE_PASSWORD = "changeit"


def java(source: Path, *arguments: str, home: Path, ca_file: Path | None = None) -> str:
    """Run the class that `source` is named after, which trusts the certificates of `ca_file`. What it printed."""
    assert MAIL.exists(), "JavaMail is not installed: apt-get install libmail-java"
    classes = BUILT / hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    path = f"{classes}:{MAIL}:{ACTIVATION}"
    if not classes.exists():
        made = home / classes.name
        run(tool("javac"), "-encoding", "UTF-8", "-cp", path, "-d", str(made), str(source), home=home)
        BUILT.mkdir(parents=True, exist_ok=True)
        moved = BUILT / f"{classes.name}.{os.getpid()}"
        shutil.move(made, moved)
        try:
            moved.rename(classes)
        except OSError:  # another process was faster
            shutil.rmtree(moved)
    trust = _trusting(ca_file, home) if ca_file is not None else []
    return run(tool("java"), *trust, "-cp", path, source.stem, *arguments, home=home)


def _trusting(ca_file: Path, home: Path) -> list[str]:
    store = home / "trusted.p12"
    if not store.exists():
        keytool = [tool("keytool"), "-importcert", "-noprompt", "-alias", "test", "-file", str(ca_file)]
        run(*keytool, "-keystore", str(store), "-storepass", _STORE_PASSWORD, home=home)
    return [f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={_STORE_PASSWORD}"]
