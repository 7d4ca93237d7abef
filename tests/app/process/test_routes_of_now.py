"""Mail that was queued before a route was added takes it, as soon as the server has been started with it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.app.commands.test_serve import until
from tests.app.folders import configure, run
from tests.outside.maildrop import collect
from tests.outside.program import Program
from tests.outside.wire import Wire


@contextmanager
def serving(config: Path, log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        until(lambda: "serving" in log.read_text(), log)
        yield
        process.terminate()
        assert process.wait(60) == 0
        assert "Traceback" not in log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_mail_queued_before_the_relay_goes_by_it(tmp_path: Path) -> None:
    config, offset = configure(tmp_path, tmp_path / "data")
    text = config.read_text().replace("[pop3]", 'relay_from = ["127.0.0.1"]\n[pop3]', 1)
    text = text.replace("mail.example.test", "mail.own.test")  # the relay's own name is the other
    config.write_text(text + '[dns]\nservers = ["127.0.0.1:9"]\ntimeout = "100ms"\n')  # nobody answers there
    c = ("-c", str(config))
    assert run("domain", "add", "own.test", "--yes", *c).returncode == 0
    with serving(config, tmp_path / "log1"):
        with Wire(25 + offset) as wire:
            wire.hello()
            wire.mail("alice@example.test", sender="ann@own.test")
            assert wire.data(b"Subject: to be relayed\r\n\r\nx\r\n").startswith("250")
        until(lambda: "not sent" in (tmp_path / "log1").read_text(), tmp_path / "log1")
    waiting = json.loads(run("queue", "list", "--json", *c).stdout)["recipients"]
    assert [(each["destination"], each["state"]) for each in waiting] == [("example.test", "waiting")]
    relay = Program(tmp_path / "relay").start()
    try:
        config.write_text(
            config.read_text() + f'[route.relay]\nhosts = ["127.0.0.1:{relay.ports.smtp}"]\ntls = "opportunistic"\n'
        )
        with serving(config, tmp_path / "log2"):
            until(lambda: "info sent id=" in (tmp_path / "log2").read_text(), tmp_path / "log2")
            assert "queued mail takes other routes than before" in (tmp_path / "log2").read_text()
        (found,) = collect(relay.ports.pop3, "alice@example.test").values()
    finally:
        relay.kill()
    assert b"Subject: to be relayed" in found
