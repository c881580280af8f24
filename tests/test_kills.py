"Commands that are killed at any moment: nothing half-written is taken for whole, and what goes on ends the same."
import json
from pathlib import Path

import pytest
from conftest import MANY, python

KILLS = Path(__file__).with_name('kills.py')


@pytest.mark.xdist_group('kills')
def test_what_is_killed_loses_nothing(tmp_path):
    "Of invert, edit, a benchmark and a training; half of the kills come while a file is written."
    died = json.loads(python(KILLS, tmp_path, str(MANY['kills']), '0').splitlines()[-1])
    went_on = {name: ways.pop('went_on') for name, ways in died.items()}
    print(died, went_on)
    for name, ways in died.items():
        assert sum(ways.values()) == MANY['kills'] and 2*ways['moment'] == MANY['kills'], name
    assert sum(went_on.values()), 'none had anything to go on from'
