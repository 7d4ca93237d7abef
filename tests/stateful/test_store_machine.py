"""The store keeps its promises whatever is asked, in whatever order, and whatever fails meanwhile.

Random schedules of orders to two workers of one folder, beside faults of their disks and kills; the store in memory
says what must have come of it. Short: fixed seeds. Long (POSTHOUSE_LONG): new seeds for POSTHOUSE_STATEFUL_SECONDS.
POSTHOUSE_STATEFUL_SEED runs one seed again, e.g. one that has failed.
"""

import os

import pytest

from tests.stateful.explore import Explorer, random_seeds

LONG = bool(os.environ.get("POSTHOUSE_LONG"))
SECONDS = float(os.environ.get("POSTHOUSE_STATEFUL_SECONDS", "600"))
SEED = os.environ.get("POSTHOUSE_STATEFUL_SEED")
_SHORT = 16  # schedules


@pytest.mark.timeout(SECONDS + 300 if LONG else 300)
def test_no_schedule_breaks_a_promise() -> None:
    with Explorer() as explorer:
        if SEED:
            found = explorer.search([int(SEED)])
        else:
            found = explorer.search(random_seeds(SECONDS) if LONG else range(_SHORT))
        print(explorer.summary())  # shown by pytest -s, and when it fails
    assert found is None, str(found)
