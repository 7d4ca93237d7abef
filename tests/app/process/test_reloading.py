"""What was changed in a configuration, by name."""

from pathlib import Path

import pytest

from posthouse.app.config.loading import Config, load
from posthouse.app.process.reloading import differences

OUT = '[route.out]\nhosts = ["a.test:25"]\n'
LAST = '[route.last]\nhosts = ["b.test:25"]\n'


def read(folder: Path, text: str, *, secrets: bool = True) -> Config:
    file = folder / "posthouse.toml"
    file.write_text(text)
    return load(file, {}, secrets=secrets)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("", "", []),
        ("", '[smtp]\nmax_size = "50MB"\n', []),  # as it is anyway
        ("", '[smtp]\nmax_size = "51MB"\nmax_hops = 31\n[log]\nlevel = "debug"\n',
         ["smtp.max_size", "smtp.max_hops", "log.level"]),
        (OUT, "", ["route.out"]),
        (OUT, LAST, ["route.last", "route.out"]),
        (OUT + LAST, LAST + OUT, ["the order of route"]),
        (OUT, OUT + 'tls = "none"\npassword = "x"\n', ["route.out.tls", "route.out.password"]),
    ],
)  # fmt: skip
def test_differences(old: str, new: str, names: list[str], tmp_path: Path) -> None:
    assert sorted(differences(read(tmp_path, old), read(tmp_path, new))) == sorted(names)


def test_a_secret_in_a_file_that_needs_root_is_no_change(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    text = f"{OUT}password_file = '{secret}'\n"
    old = read(tmp_path, text)
    secret.unlink()  # as good as unreadable
    assert list(differences(old, read(tmp_path, text, secrets=False))) == []
    other = text.replace("secret'", "other'")
    assert list(differences(old, read(tmp_path, other, secrets=False))) == ["route.out.password"]
