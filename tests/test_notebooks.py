"Every notebook is a test: it runs from top to bottom with nbdev's own runner, each in a fresh process."
import subprocess, sys

import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT/'nbs').glob('[!_.]*.ipynb'))
RUN = '''
import sys
from pathlib import Path
from nbdev.test import test_nb
nb, root, *flags = sys.argv[1:]
sys.exit(not test_nb(Path(nb), skip_flags=flags, basepath=root)[0])
'''


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook(nb, cfg):
    assert 'skip_exec' not in nb.read_text(encoding='utf-8'), 'skip_exec counts as a pass without running anything'
    # A process of its own: no notebook leans on what another one imported or switched
    res = subprocess.run([sys.executable, '-c', RUN, nb, ROOT, *cfg.tst_flags.split()], cwd=nb.parent, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if res.returncode: pytest.fail(f'{nb.name}\n{res.stdout[-6000:]}', pytrace=False)
