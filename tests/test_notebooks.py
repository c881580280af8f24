"Every notebook is a test: it runs from top to bottom with nbdev's own runner, once, in a fresh process."
import os, re

import pytest
from conftest import ROOT, python


def name(nb): return nb.relative_to(ROOT/'nbs').with_suffix('').as_posix()


def pages_with(flag):
    "The notebooks that have a cell for which `flag` is set."
    return [nb for nb in NOTEBOOKS if re.search(rf'"#\|\s*{flag}\b', nb.read_text(encoding='utf-8'))]


NOTEBOOKS = sorted(p for p in (ROOT/'nbs').rglob('[!_.]*.ipynb') if '.ipynb_checkpoints' not in p.parts)
QUICK = {'00_checks', '05_images', '20_scheduler', '55_store', 'app/10_show'}  # a few seconds each
RUN = '''
import sys
from pathlib import Path
from nbdev.test import test_nb
nb, root, *flags = sys.argv[1:]
sys.exit(not test_nb(Path(nb), skip_flags=flags, basepath=root)[0])
'''


def run(nb, skip):
    "A process of its own: no notebook leans on what another one imported or switched."
    assert 'skip_exec' not in nb.read_text(encoding='utf-8'), 'skip_exec counts as a pass without running anything'
    python('-c', RUN, nb, ROOT, *skip, cwd=nb.parent)


def quick_or_not(nb): return pytest.param(nb, id=name(nb), marks=[pytest.mark.quick] if name(nb) in QUICK else [])


@pytest.mark.parametrize('nb', list(map(quick_or_not, NOTEBOOKS)))
def test_notebook(nb, cfg): run(nb, cfg.tst_flags.split())


@pytest.mark.gpu
@pytest.mark.parametrize('nb', pages_with('cuda'), ids=name)
def test_on_a_gpu(nb):
    "With the cells that only a GPU can run."
    import torch
    assert torch.cuda.is_available(), 'there is no GPU that PyTorch can use'
    run(nb, ['notest', 'slow'])


@pytest.mark.torture
@pytest.mark.parametrize('nb', pages_with('slow'), ids=name)
def test_at_length(nb):
    "With the cells that take long."
    run(nb, ['notest', 'cuda'])


# ---- Pages whose modules lean on fastcore, where nbdev is not installed and everything is the newest

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


@pytest.mark.network
@pytest.mark.xdist_group('alone')  # one environment serves all
@pytest.mark.parametrize('page', ['index', 'app/20_session', 'reference/20_cli'])
def test_notebook_alone(page, cfg, alone, tree):
    "A reader's environment: the installed package, and the newest releases of what it requires."
    nb = tree/'nbs'/f'{page}.ipynb'
    env = os.environ | {'PATH': f'{alone.parent}{os.pathsep}{os.environ["PATH"]}', 'PYTHONPATH': ''}
    python('-c', ALONE, nb, *cfg.tst_flags.split(), exe=alone, cwd=nb.parent, env=env)
