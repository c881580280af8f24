"What a stranger's data can make the project do, as Python itself reports it: nothing but what is asked for."
import json, os, subprocess, sys

from conftest import ROOT, TORTURE


def test_data_is_never_code_and_nothing_leaves(tmp_path):
    "No network, no pickle, no other program, no eval, no file elsewhere: in every command, the demo and a training."
    home = tmp_path/'home'
    home.mkdir()
    names = 'HOME', 'TMPDIR', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'HF_HOME', 'MPLCONFIGDIR', 'TORCHINDUCTOR_CACHE_DIR'
    places = dict.fromkeys(names, str(home))
    env = os.environ | places | dict(PYTHONDONTWRITEBYTECODE='1', PYTHONPATH=str(ROOT))
    argv = [sys.executable, ROOT/'tests'/'audit.py', tmp_path, *(['all'] if TORTURE else [])]
    res = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert res.returncode == 0, res.stderr[-3000:]
    report = json.loads(res.stdout)
    assert report['events'] > 1000 and {'open', 'import', 'compile', 'exec', 'subprocess.Popen'} <= set(report['kinds'])
    assert not report['odd']
    assert report['ended'].pop('trap') == 1 and not any(report['ended'].values()), res.stderr[-3000:]
    assert not (tmp_path/'sprung').exists() and not (tmp_path/'never').exists()
