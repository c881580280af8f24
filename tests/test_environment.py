"The package alone, with the newest of everything: a second environment, where nothing for development is installed."
import os, textwrap

import pytest
from conftest import ROOT, python

pytestmark = [pytest.mark.network, pytest.mark.xdist_group('alone')]  # one environment serves all
DATA = ROOT/'nulltext_nb'/'data'
CLEAN = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}


def test_installs_alone(alone, tmp_path):
    code = '''
        import importlib.util as iu, fastcore, nulltext_nb, sys
        from pathlib import Path
        assert int(fastcore.__version__.split('.')[0]) >= 2, fastcore.__version__
        developing = 'nbdev', 'fastai', 'execnb', 'torchvision', 'resvg_py', 'fastprogress', 'pytest'
        extra = [m for m in developing if iu.find_spec(m)]
        assert not extra, f'the environment holds {extra}'
        here = Path(nulltext_nb.__file__).parent
        assert here.is_relative_to(sys.prefix), f'{here} is not the installed package'
        files = [p for p in (here/'data').rglob('*') if p.is_file()]
        print(*sorted(p.relative_to(here/'data').as_posix() for p in files), sep='\\n')
    '''
    out = python('-c', textwrap.dedent(code), exe=alone, cwd=tmp_path, env=CLEAN)
    assert out.splitlines() == sorted(p.relative_to(DATA).as_posix() for p in DATA.rglob('*') if p.is_file())


def test_works_alone(alone, tmp_path):
    "Every name, and one picture through Python and through the commands."
    python(ROOT/'tests'/'alone.py', exe=alone, cwd=tmp_path, env=CLEAN)
