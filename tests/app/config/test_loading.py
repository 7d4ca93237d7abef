"""The configuration: every mistake in bad_config/ is reported exactly as the .expected file beside it says."""

import dataclasses
from pathlib import Path

import pytest

from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.loading import load
from posthouse.app.config.problems import ConfigError
from posthouse.app.config.settings import Settings
from posthouse.app.config.sources import declared

BAD = sorted((Path(__file__).parent / "bad_config").glob("*.toml"))


def test_there_are_bad_configurations() -> None:
    assert len(BAD) >= 15


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_mistakes_are_told(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file, {}, name=file.name)
    assert str(caught.value) + "\n" == file.with_suffix(".expected").read_text()


def test_without_a_file_all_is_default() -> None:
    config = load(None, {})
    assert config.settings == Settings()
    assert set(config.origins.values()) == {"default"}
    assert len(config.origins) == len(list(declared()))


def test_values_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text(
        "[server]\nhostname = 'Mail.Example.ORG'\nworkers = 3\n"
        '[smtp]\nmax_size = "1GB"\nlisten = ["[::1]:25", "127.0.0.1:2525"]\n'
        '[lmtp]\nlisten = ["unix:/run/lmtp"]\n[proxy]\ntrusted = ["10.0.0.0/8", "::1", "::ffff:192.0.2.0/120"]\n'
        '[pop3]\nlisten = []\n[login]\nremember = "90s"\n'
    )
    config = load(file, {}, name="posthouse.toml")
    settings = config.settings
    assert settings.server.hostname == "mail.example.org"
    assert settings.server.workers == 3
    assert settings.smtp.max_size == 1 << 30
    assert settings.smtp.listen == (Endpoint("::1", 25), Endpoint("127.0.0.1", 2525))
    assert settings.lmtp.listen == (Endpoint(path="/run/lmtp"),)
    assert [str(network) for network in settings.proxy.trusted] == ["10.0.0.0/8", "::1/128", "192.0.2.0/24"]
    assert settings.pop3.listen == ()
    assert settings.login.remember == 90.0
    assert config.origins["smtp.max_size"] == "posthouse.toml:5"
    assert config.origins["smtp.max_hops"] == "default"


def test_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('[smtp]\nmax_size = "1MB"\n')
    environment = {
        "POSTHOUSE_SMTP__MAX_SIZE": "2MB",
        "POSTHOUSE_SMTP__LISTEN": ":25, [::1]:26",
        "POSTHOUSE_SERVER__WORKERS": "4",
        "POSTHOUSE_LOGIN__PLAIN_ON_LOOPBACK": "true",
        "POSTHOUSE_POP3__LISTEN": "",
        "POSTHOUSE_LONG": "1",
    }
    config = load(file, environment)
    assert config.settings.smtp.max_size == 2 << 20
    assert config.settings.smtp.listen == (Endpoint(port=25), Endpoint("::1", 26))
    assert config.settings.server.workers == 4
    assert config.settings.login.plain_on_loopback is True
    assert config.settings.pop3.listen == ()
    assert config.origins["smtp.max_size"] == "POSTHOUSE_SMTP__MAX_SIZE"


def test_mistakes_in_the_environment() -> None:
    environment = {"POSTHOUSE_SMTP__MAXSIZE": "1MB", "POSTHOUSE_SERVER__WORKERS": "many"}
    with pytest.raises(ConfigError) as caught:
        load(None, environment)
    assert str(caught.value) == (
        'POSTHOUSE_SMTP__MAXSIZE: error: no such setting\nhelp: did you mean "POSTHOUSE_SMTP__MAX_SIZE"?\n\n'
        'POSTHOUSE_SERVER__WORKERS: error: server.workers: expected a whole number from 0 to 1024, got "many"'
    )


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    file = tmp_path / "posthouse.toml"
    file.write_text(f"[tls]\nkey_password_file = '{tmp_path}/password'\n")
    config = load(file, {}, name="posthouse.toml")
    assert config.settings.tls.key_password == "hunter2"
    assert config.origins["tls.key_password"] == "posthouse.toml:2"


def test_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.toml: error: cannot be read: No such file or directory"):
        load(tmp_path / "nothing.toml", {})


def test_every_setting_says_what_it_means_and_survives_writing_and_reading() -> None:
    settings = Settings()
    for section, name, key in declared():
        assert len(key.metadata["meaning"]) > 8, f"{section}.{name}"
        kind = key.metadata["kind"]
        value = getattr(getattr(settings, section), name)
        assert kind.read(kind.write(value)) == value
    assert len({(section, name) for section, name, _ in declared()}) == len(list(declared()))
    assert dataclasses.is_dataclass(settings)
