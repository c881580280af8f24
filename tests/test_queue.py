"Work that processes share: killed at any moment, it goes on where it was, and nothing is counted twice."
import ast, os, shutil, signal, subprocess, sys, time
from pathlib import Path

import pytest
from conftest import ROOT, python

from nulltext_nb.lab.queue import read_results
from nulltext_nb.lab.stats import code_digest

SCRIPT = '''
import os, sys, time
from pathlib import Path
from nulltext_nb.lab.queue import run_shared
done, out = sys.argv[1:]
ready = Path(out).with_name('ready')
(ready/str(os.getpid())).touch()
while len(list(ready.iterdir())) < 2: time.sleep(0.05)   # start together, however busy the machine
def work(x):
    time.sleep(0.3)
    with open(done, 'a') as f: f.write(f'{x}\\n')
    return dict(square=x*x, process=os.getpid())
items = [(f'group{x//2}/{x}', x) for x in range(24)]
rows = run_shared(items, work, out, dict(kind='test'), progress=False)
assert [r['square'] for r in rows] == [x*x for x in range(24)]
'''
LAUNCH = '-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_cpu_threads_per_process 1'.split()
QUIET = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def job(tmp_path):
    "A script that shares its work, the database it writes, and the list of what was really done."
    (tmp_path/'work.py').write_text(SCRIPT)
    (tmp_path/'ready').mkdir()
    return tmp_path/'work.py', tmp_path/'done', tmp_path/'r.sqlite'


def running(script):
    "The processes that run `script`."
    found = []
    for p in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if str(script).encode() in p.read_bytes(): found.append(int(p.parent.name))
        except OSError: pass
    return found


def kept(out):
    "From key to result, of the only run in `out`."
    (settings, results), = read_results(out)
    assert settings['kind'] == 'test'
    return results


def wait(enough, seconds=120):
    end = time.time() + seconds
    while not enough() and time.time() < end: time.sleep(0.05)


def kill(*pids):
    for pid in pids:
        try: os.kill(pid, signal.SIGKILL)
        except ProcessLookupError: pass


def check_done(job, first):
    "Everything is there, `first` as it was; only what a kill interrupted was done twice; a group is of one process."
    script, done, out = job
    results, lines = kept(out), done.read_text().splitlines()
    assert sorted(results) == sorted(f'group{x//2}/{x}' for x in range(24))
    assert {k: results[k] for k in first} == first
    counts = [lines.count(str(x)) for x in range(24)]
    assert min(counts) == 1 and sum(counts) <= 26
    owners = {}
    for k, r in results.items():
        if k not in first: owners.setdefault(k.split('/')[0], set()).add(r['process'])
    assert all(len(o) == 1 for o in owners.values())
    assert len(set.union(*owners.values())) == 2, 'both processes worked'
    assert sorted(p.name for p in script.parent.iterdir()) == ['done', 'r.sqlite', 'ready', 'work.py']


def test_killed_and_started_again(job):
    script, done, out = job
    child = subprocess.Popen([sys.executable, *LAUNCH, *job], start_new_session=True, **QUIET)
    wait(lambda: out.exists() and done.exists() and len(done.read_text().splitlines()) > 6)
    kill(child.pid, *running(script))  # as when the machine goes down: the launcher's workers outlive it
    child.wait()
    first = kept(out)
    assert 4 < len(first) < 24, 'the first run was not stopped in its middle'
    for p in (script.parent/'ready').iterdir(): p.unlink()
    python(*LAUNCH, *job)
    check_done(job, first)


def test_a_second_command_takes_part_and_takes_over(job):
    "Two commands without a launcher share the work; when one is killed, the other does the rest."
    script, done, out = job
    pair = [subprocess.Popen([sys.executable, *job], **QUIET) for _ in range(2)]
    wait(lambda: done.exists() and len({r['process'] for r in kept(out).values()}) == 2)
    kill(pair[0].pid)
    first = kept(out)
    assert pair[1].wait(120) == 0
    pair[0].wait()
    assert len(first) < 24 and set(kept(out)) == {f'group{x//2}/{x}' for x in range(24)}
    late = {r['process'] for k, r in kept(out).items() if k not in first}
    assert late <= {pair[1].pid, pair[0].pid} and pair[1].pid in late
    assert len(done.read_text().splitlines()) <= 25


def test_an_orphan_stops(job):
    "A worker whose launcher was killed ends after the item it is at."
    script, done, out = job
    child = subprocess.Popen([sys.executable, *LAUNCH, *job], start_new_session=True, **QUIET)
    wait(lambda: done.exists() and len(done.read_text().splitlines()) > 2)
    kill(child.pid)
    child.wait()
    wait(lambda: not running(script), 20)
    left = running(script)
    kill(*left)
    assert not left and 0 < len(kept(out)) < 24


# ---- What results depend on

@pytest.fixture
def package(tmp_path):
    "A copy of the package's code and data files, to change."
    ignore = shutil.ignore_patterns('__pycache__', 'model', 'licenses')
    return shutil.copytree(ROOT/'nulltext_nb', tmp_path/'nulltext_nb', ignore=ignore)


def explain(text):
    "`text` with another docstring at its top, a longer one in every function, and a comment."
    tree = ast.parse(text)
    tree.body[0] = ast.parse('"Said anew."').body[0]
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef): continue
        if ast.get_docstring(node): del node.body[0]
        node.body.insert(0, ast.parse('"And this, too."').body[0])
    return ast.unparse(tree) + '\n# a last word\n'


def test_results_depend_on_what_their_module_needs(package):
    race = 'nulltext_nb.lab.race'
    before = code_digest(race, package)
    def changed(name, change):
        file = package/name
        text = file.read_text()
        file.write_text(change(text))
        after = code_digest(race, package)
        file.write_text(text)
        return after != before
    def more(text): return text + '\nx = 1\n'
    needed = ['lab/race.py', 'lab/stats.py', 'inversion.py', 'solvers.py', 'pipeline.py', 'world/scenes.py']
    assert all(changed(n, more) for n in needed)
    assert not any(changed(n, explain) for n in needed)
    others = ['lab/edits.py', 'lab/model_card.py', 'app/editor.py', 'cli.py', 'demo.py', '__init__.py', '_modidx.py']
    assert not any(changed(n, more) for n in others)
    edits = code_digest('nulltext_nb.lab.edits', package)
    (package/'data'/'edit_pairs.json').write_text('{}')
    assert code_digest(race, package) == before and code_digest('nulltext_nb.lab.edits', package) != edits
