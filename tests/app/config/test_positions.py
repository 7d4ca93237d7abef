"""Places of keys and values: checked against what the standard library reads from the same text."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from posthouse.app.config.positions import Place, locate

EVERYTHING = '''# a comment = 1
title = "x # not a comment" # comment
[server]   # after a header
  hostname = 'mail.example.org'
"quoted key" = """one
two\\""" three"""""
'single' = \'\'\'a'b''c\'\'\'
when = 1979-05-27 07:32:00Z
dotted . key.name=1
empty = []
list = [ "a,]", # why ] not
   'b"', [1, 2], { x = 1, "y z" = [3] },
   1.5 ]
inline = { a.b = true, c = """q""" }
[a.b."c.d"]
x = -inf
[[fruit]]
name = "apple"
[fruit.skin]
red = true
[[fruit]]
name = "pear"
[fruit.skin]
red = false
'''


def paths(value: Any, here: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    found = {here} if here else set()
    if isinstance(value, dict):
        return found.union(*(paths(item, (*here, key)) for key, item in value.items()))
    if isinstance(value, list):
        return found.union(*(paths(item, (*here, index)) for index, item in enumerate(value)))
    return found


def test_every_key_of_a_wild_text_is_found() -> None:
    spots = locate(EVERYTHING)
    # A table that only a longer header implies has no place of its own.
    assert paths(tomllib.loads(EVERYTHING)) - set(spots) == {("a",), ("a", "b")}
    assert set(spots) <= paths(tomllib.loads(EVERYTHING))


def test_places() -> None:
    spots = locate(EVERYTHING)
    lines = EVERYTHING.split("\n")

    def text(place: Place) -> str:
        return lines[place.line - 1][place.column - 1 :][: place.length]

    assert text(spots[("server", "hostname")].key) == "hostname"
    assert text(spots[("server", "hostname")].value) == "'mail.example.org'"
    assert text(spots[("server", "when")].value) == "1979-05-27 07:32:00Z"
    assert text(spots[("server", "dotted", "key", "name")].key) == "dotted . key.name"
    assert text(spots[("server", "list", 3, "y z")].value) == "[3]"
    assert text(spots[("server", "list", 4)].value) == "1.5"
    assert text(spots[("server", "quoted key")].value) == '"""one'
    assert text(spots[("fruit", 1, "skin", "red")].value) == "false"
    assert text(spots[("a", "b", "c.d")].key) == '[a.b."c.d"]'


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{basic(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[\n" + ",\n".join(f" # , ]\n {toml(item)}" for item in value) + "]"
    if isinstance(value, str):
        return basic(value)
    return str(value).lower()


def basic(text: str) -> str:
    return (
        '"' + "".join(char if char.isalnum() or char in " #,]}='[{" else f"\\U{ord(char):08x}" for char in text) + '"'
    )


values = st.recursive(
    st.integers() | st.booleans() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_every_text_is_scanned_as_it_is_read(table: dict[str, Any]) -> None:
    text = "[t]\n" + "".join(f"{basic(key)} = {toml(value)}\n" for key, value in table.items())
    assert tomllib.loads(text) == {"t": table}
    assert set(locate(text)) == paths({"t": table})
