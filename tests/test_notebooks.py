"Every notebook is a test: it runs from top to bottom with nbdev's own runner, each in a fresh process."
import os

import pytest
from conftest import ROOT, python

NOTEBOOKS = sorted(p for p in (ROOT/'nbs').rglob('[!_.]*.ipynb') if '.ipynb_checkpoints' not in p.parts)
name = lambda p: p.relative_to(ROOT/'nbs').with_suffix('').as_posix()
RUN = '''
import sys
from pathlib import Path
from nbdev.test import test_nb
nb, root, *flags = sys.argv[1:]
sys.exit(not test_nb(Path(nb), skip_flags=flags, basepath=root)[0])
'''


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=name)
def test_notebook(nb, cfg):
    assert 'skip_exec' not in nb.read_text(encoding='utf-8'), 'skip_exec counts as a pass without running anything'
    # A process of its own: no notebook leans on what another one imported or switched
    python('-c', RUN, nb, ROOT, *cfg.tst_flags.split(), cwd=nb.parent)


# ---- The same pages where nbdev is not installed and everything else is the newest

ALONE = '''
import json, re, sys
import matplotlib
matplotlib.use('agg')
from IPython.core.interactiveshell import InteractiveShell
nb, *flags = sys.argv[1:]
skip, shell = re.compile(r'^#\\|\\s*(eval:\\s*false|' + '|'.join(flags) + r')\\b', re.M), InteractiveShell.instance()
sources = [''.join(c['source']) for c in json.load(open(nb, encoding='utf-8'))['cells'] if c['cell_type']=='code']
for src in sources:
    if not skip.search(src): shell.run_cell(src).raise_error()
assert 'nbdev' not in sys.modules
'''
LESSONS = [nb for nb in NOTEBOOKS if nb.stem != '50_training']  # training needs fastai, which the dev extra pins


@pytest.mark.network
@pytest.mark.xdist_group('alone')  # one environment serves all
@pytest.mark.parametrize('nb', LESSONS, ids=name)
def test_notebook_alone(nb, cfg, alone, tree, metrics):
    "A reader's environment: the installed package, with the extra that the page's first cell names, and the newest releases of what it requires."
    env = os.environ | {'PATH': f'{alone.parent}{os.pathsep}{os.environ["PATH"]}'}
    if 'nulltext_nb[metrics]' in nb.read_text(encoding='utf-8').split('#| export')[0]: env['PYTHONPATH'] = str(metrics)
    python('-c', ALONE, nb, *cfg.tst_flags.split(), exe=alone, cwd=(tree/nb.relative_to(ROOT)).parent, env=env)
