"What the tests share: the settings, and a copy of the tree to change at will."
import shutil
from pathlib import Path

import pytest
from nbdev.config import get_config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def cfg(): return get_config(path=ROOT)


@pytest.fixture(scope='session')
def tree(tmp_path_factory):
    "The project as a fresh clone has it: nothing that git ignores."
    ignored = [o.strip().strip('/') for o in (ROOT/'.gitignore').read_text().splitlines()]
    dst = tmp_path_factory.mktemp('clone')/'tree'
    return shutil.copytree(ROOT, dst, symlinks=True, ignore=shutil.ignore_patterns('.git', *filter(None, ignored)))
