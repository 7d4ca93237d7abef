"""The tables of states: every command has its states and something that carries it out, every state can be reached."""

from collections.abc import Iterable, Mapping
from enum import Enum
from types import ModuleType

import pytest

from posthouse.protocol.imap import grammar
from posthouse.protocol.imap import server as imap_server
from posthouse.protocol.imap import states as imap_states
from posthouse.protocol.pop3 import server as pop3_server
from posthouse.protocol.pop3 import states as pop3_states
from posthouse.protocol.smtp import server as smtp_server
from posthouse.protocol.smtp import states as smtp_states

TABLES: list[tuple[ModuleType, Iterable[bytes], Enum]] = [
    (smtp_states, smtp_server.COMMANDS, smtp_states.SmtpState.FRESH),
    (pop3_states, pop3_server.COMMANDS, pop3_states.Pop3State.AUTHORIZATION),
    (imap_states, {*imap_server.OWN, *grammar.RULES}, imap_states.ImapState.NOT_AUTHENTICATED),
]


def transitions(module: ModuleType) -> list[Mapping[Enum, Enum]]:
    """Those that a table names, without its LEGAL and words."""
    found = [value for name, value in vars(module).items() if name.isupper() and not name.startswith("_")]
    return [table for table in found if all(isinstance(state, Enum) for state in {*table, *table.values()})]


@pytest.mark.parametrize(("module", "commands", "first"), TABLES)
def test_what_is_legal_somewhere_is_carried_out(module: ModuleType, commands: Iterable[bytes], first: Enum) -> None:
    assert set(commands) == set(module.LEGAL)
    assert all(module.LEGAL.values())


@pytest.mark.parametrize(("module", "commands", "first"), TABLES)
def test_every_state_can_be_reached(module: ModuleType, commands: Iterable[bytes], first: Enum) -> None:
    reached, tables = {first}, transitions(module)
    assert len(tables) >= 3
    for _ in type(first):
        reached |= {table[state] for table in tables for state in reached if state in table}
    assert reached == set(type(first))


@pytest.mark.parametrize(("module", "commands", "first"), TABLES)
def test_states_are_found_by_identity(module: ModuleType, commands: Iterable[bytes], first: Enum) -> None:
    """The table is asked for every command, and the hash of an Enum is a call of Python's."""
    assert type(first).__hash__ is object.__hash__
