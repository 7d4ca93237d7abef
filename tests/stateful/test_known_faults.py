"""Schedules that once lost mail, as short as the machine could make them. Each keeps its promise now."""

import pytest

from tests.stateful.explore import Explorer
from tests.stateful.faulty_disk import BROKEN, FULL, Fault
from tests.stateful.schedules import Chosen, Schedule, Step

_HOLE_OVER_LIVING_MAIL: Schedule = (
    Step("group", 1, 1044121562, (Chosen(0, "append", 540784942),)),
    Step(
        "group",
        0,
        316836992,
        (Chosen(0, "note", 782247194), Chosen(0, "append", 836766115), Chosen(0, "deliver", 333115592)),
    ),
    Step("reap", 0, 753852127),
)
_FULL_DATABASE_CUTS_PACK: Schedule = (
    Step("group", 1, 597735923, (Chosen(0, "deliver", 340977074),)),
    Step("group", 0, 171728747, (Chosen(0, "rename", 117865353),), ((0, Fault("log write", FULL)),)),
)
_FULL_DISK_CUTS_PACK: Schedule = (
    Step("group", 0, 541700348, (Chosen(0, "deliver", 864449839),)),
    Step("group", 1, 616905068, (Chosen(0, "remove", 804473896),), ((0, Fault("log write", FULL, lasting=True)),)),
)
_PACK_WITHOUT_ROW: Schedule = (
    Step("group", 0, 91231278, (Chosen(0, "deliver", 386623639),), ((0, Fault("log write", BROKEN, 2, part=True)),)),
    Step("group", 0, 85647897, (Chosen(0, "deliver", 825254826),)),
)
_NUMBER_OF_A_PACK_GIVEN_TWICE: Schedule = (
    Step("group", 0, 1032001556, (Chosen(0, "move", 627958707),), ((0, Fault("log write", FULL, 0, True, True)),)),
    Step("group", 1, 274427297, (Chosen(0, "append", 425429684),)),
    Step("group", 1, 316097704, (Chosen(1, "deliver", 250717187),)),
    Step("group", 1, 658264261, (Chosen(0, "append", 561466557),), ((0, Fault("pack sync", BROKEN, part=True)),)),
    Step(
        "group",
        1,
        390640051,
        (Chosen(1, "append", 291095312), Chosen(1, "mark", 388651532), Chosen(1, "mark", 50265935)),
        ((0, Fault("cut", FULL, 2, part=True)),),
    ),
)
_HOLE_OVER_THE_NEXT_MAIL: Schedule = (
    Step("group", 0, 289072260, (Chosen(1, "append", 352847584, cancelled=True),)),
    Step("stop", 0, 46171354),
    Step("group", 0, 710084979, (Chosen(1, "deliver", 409274687),)),
)


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(_HOLE_OVER_LIVING_MAIL, id="hole over living mail"),
        pytest.param(_FULL_DATABASE_CUTS_PACK, id="full database cuts a pack"),
        pytest.param(_FULL_DISK_CUTS_PACK, id="full disk cuts a pack"),
        pytest.param(_PACK_WITHOUT_ROW, id="pack without row"),
        pytest.param(_NUMBER_OF_A_PACK_GIVEN_TWICE, id="number of a pack given twice"),
        pytest.param(_HOLE_OVER_THE_NEXT_MAIL, id="hole over the next mail"),
    ],
)
def test_no_mail_is_lost(schedule: Schedule, explorer: Explorer) -> None:
    assert explorer.run(schedule) == ""
