"Work that processes share: killed at any moment, it goes on where it was, and nothing is counted twice."
import json, os, signal, subprocess, sys, time
from pathlib import Path

from conftest import python

SCRIPT = '''
import os, sys, time
from nulltext_nb.lab.queue import run_shared
done, out = sys.argv[1:]
def work(x):
    time.sleep(0.3)
    with open(done, 'a') as f: f.write(f'{x}\\n')
    return dict(square=x*x, rank=os.environ.get('RANK', '0'))
rows = run_shared([(f'group{x//2}/{x}', x) for x in range(24)], work, out, dict(kind='test'), progress=False)
assert [r['square'] for r in rows] == [x*x for x in range(24)]
'''
LAUNCH = ['-m', 'accelerate.commands.launch', '--multi_gpu', '--num_processes', '2', '--num_cpu_threads_per_process', '1']


def running(script):
    "The processes that run `script`."
    found = []
    for p in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if str(script).encode() in p.read_bytes(): found.append(int(p.parent.name))
        except OSError: pass
    return found


def test_killed_and_started_again(tmp_path):
    script, out, done = tmp_path/'work.py', tmp_path/'r.jsonl', tmp_path/'done'
    script.write_text(SCRIPT)
    args = [*LAUNCH, script, done, out]
    child = subprocess.Popen([sys.executable, *args], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.time() + 120
    while not (out.exists() and len(out.read_text().splitlines()) > 6) and time.time() < end: time.sleep(0.05)
    for pid in [child.pid, *running(script)]:  # as when the machine goes down: the launcher's workers outlive it
        try: os.kill(pid, signal.SIGKILL)
        except ProcessLookupError: pass
    child.wait()
    kept = out.read_text().splitlines()
    assert 6 < len(kept) < 25, 'the first run was not stopped in its middle'
    with out.open('a') as f: f.write('{"key": "half a li')  # a kill in the middle of a line
    python(*args)
    lines = [json.loads(l) for l in out.read_text().splitlines()]
    assert lines[0]['kind'] == 'test' and [json.dumps(l) for l in lines[:len(kept)]] == [json.dumps(json.loads(k)) for k in kept]
    assert sorted(l['key'] for l in lines[1:]) == sorted(f'group{x//2}/{x}' for x in range(24))
    counts = [done.read_text().splitlines().count(str(x)) for x in range(24)]
    assert min(counts) == 1 and sum(counts) <= 26, 'only what was under way at the kill is done twice'
    assert {l['rank'] for l in lines[1:]} == {'0', '1'}
    by_group = {}
    for l in lines[len(kept):]: by_group.setdefault(l['key'].split('/')[0], set()).add(l['rank'])
    assert all(len(ranks) == 1 for ranks in by_group.values()), 'one process works on a group'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['done', 'r.jsonl', 'work.py']
