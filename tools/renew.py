"Make anew what depends on the weights, in order; started again, it goes on behind what is done for these weights."
import argparse, json, os, re, shutil, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from threading import Lock

from stored import ROOT, RUNS, is_slow, read_json

from nulltext_nb.files import writing

OUT = ROOT/'out'/'renew'
LOG = OUT/'log.json'   # from step to the model, seconds, and what failed
SINGLES = '--singles nbs/results/edit_rows.json --pictures out/renew/pictures'
BENCHES = {  # where the figures go, and how they are measured
    'knobs': ('nulltext_nb/data/edit_knobs.json', 'knobs'),
    'edit': ('nbs/results/edit.json', f'edit {SINGLES}'),
    'solver_edits': ('nbs/results/solver_edits.json',
                     'edit --methods region nulltext_google --T 50 --w 7.5 --scenes 12'),
    'race': ('nbs/results/race.json', 'race'),
    'ablation': ('nbs/results/ablation.json', 'ablation')}
MODEL = {'model': ('nbs/results/model.json', 'model')}
JOBS = min(4, os.cpu_count())   # pages at once, a share of the cores each
one_at_a_time = Lock()          # for files that several steps add to


# ---- The kinds of work

def run(*args, **more):
    "A Python process at the top of the project, with `more` in its environment; what it prints is seen."
    env = os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])} | more
    subprocess.run([sys.executable, *map(str, args)], cwd=ROOT, env=env, check=True)


def bench(target, options):
    "Measure; results of parts are kept, so that a second start goes on. The figures go to `target` when all are there."
    file = OUT/Path(target).name
    command = 'import sys; from nulltext_nb.cli import nulltext_bench; sys.exit(nulltext_bench())'
    run('-c', command, *options.split(), '--json', file)
    with writing(ROOT/target) as part: shutil.copyfile(file, part)


def run_cells(file, slow):
    "Run a notebook from top to bottom and store its outputs; a cell that fails is left as it was. Who failed."
    from execnb.shell import CaptureShell
    nb, failed = json.loads(file.read_text(encoding='utf-8')), []
    flags = ['notest', 'cuda', *([] if slow else ['slow'])]
    skip = re.compile(r'^#\|\s*(eval:\s*false|' + '|'.join(flags) + r')\b', re.M)
    os.chdir(file.parent)
    shell = CaptureShell(path=file.parent)
    for cell in nb['cells']:
        src = ''.join(cell['source'])
        if cell['cell_type'] != 'code' or skip.search(src): continue
        outputs = [dict(o) for o in shell.run(src)]
        errors = [f"{o['ename']}: {o['evalue']}" for o in outputs if o['output_type'] == 'error']
        if errors: failed.append(f'{cell["id"]}, {errors[0]}')
        else: cell['outputs'] = [o for o in outputs if o.get('name') != 'stderr']
    text = json.dumps(nb, indent=1, ensure_ascii=False, default=dict)
    with writing(file) as part: part.write_text(text + '\n', encoding='utf-8')
    return failed


def page(name, slow, model):
    "Run one page in a process of its own; `RuntimeError` says which cells failed."
    said = OUT/f'{name.replace("/", "_")}.json'
    threads = str(max(1, os.cpu_count()//JOBS))
    run(__file__, '--page', name, *(['--long'] if slow else []), '--failed', said, OMP_NUM_THREADS=threads)
    if slow: keep(RUNS, {name: model})
    if failed := json.loads(said.read_text()): raise RuntimeError('; '.join(failed))


def keep(file, more):
    "Add to a JSON file."
    with one_at_a_time, writing(file) as part:
        part.write_text(json.dumps(read_json(file) | more, indent=1) + '\n')


# ---- The order

def reading_order():
    "The pages as the sidebar lists them, Home first."
    sidebar = (ROOT/'nbs'/'_quarto.yml').read_text(encoding='utf-8').partition('sidebar:')[2]
    return re.findall(r'^\s*- (?:\{.*href: )?(\w[\w/]*)\.ipynb\}?$', sidebar, re.M)


def steps(long, model):
    "From the name of each step to what does it; `long` takes hours."
    out = {'assets': lambda: run('tools/assets.py')}
    for name, (target, options) in (MODEL | (BENCHES if long else {})).items():
        out[name] = lambda target=target, options=options: bench(target, options)
    if long: out['sharing'] = lambda: run('tools/sharing.py')
    if long: out['gallery'] = lambda: run('tools/gallery.py', OUT/'pictures')
    for name in dict.fromkeys(reading_order()):
        slow = long and is_slow(read_json(ROOT/'nbs'/f'{name}.ipynb'))
        key = f'page {name}' + slow*', at length'
        out[key] = lambda name=name, slow=slow: page(name, slow, model)
    out['screenshot'] = lambda: run('tools/screenshot.py')
    out['clean'] = lambda: [run('-c', f'import sys; from nbdev.{m} import {f}; sys.exit({f}())')
                            for m, f in (('doclinks', 'nbdev_export'), ('clean', 'nbdev_clean'))]
    out['docs'] = lambda: run('tools/docs.py')
    return out


def take(name, work, model):
    "One step, timed; what it did is written down. Did all go well?"
    start, failed = time.time(), ''
    try: work()
    except (RuntimeError, subprocess.CalledProcessError) as e: failed = str(e)
    seconds = round(time.time() - start, 1)
    keep(LOG, {name: dict(model=model, seconds=seconds, failed=failed)})
    print(f'{name}: {seconds} s {failed}', flush=True)
    return not failed


def take_all(todo, model):
    "All steps in order, pages side by side. The names of those that failed."
    well = {}
    for is_page, names in groupby(todo, lambda k: k.startswith('page ')):
        names = [*names]
        with ThreadPoolExecutor(JOBS if is_page else 1) as pool:
            well |= zip(names, pool.map(lambda k: take(k, todo[k], model), names))
    return [k for k, ok in well.items() if not ok]


def main(long, only, again, listed):
    from nulltext_nb.pipeline import fingerprint, load_pipe
    OUT.mkdir(parents=True, exist_ok=True)
    model = fingerprint(load_pipe())
    todo = {k: do for k, do in steps(long, model).items() if not only or any(o in k for o in only)}
    done = {k for k, r in read_json(LOG).items() if r['model'] == model and not r['failed']}
    if not again: todo = {k: do for k, do in todo.items() if k not in done or k in ('clean', 'docs')}
    if listed: return print(*todo, sep='\n')
    bad = take_all(todo, model)
    if bad: sys.exit(f'not renewed, or with cells that fail: {", ".join(bad)}; {LOG} says why')


if __name__ == '__main__':
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument('--long', action='store_true', help='also benchmarks and cells that take long: hours')
    args.add_argument('--only', nargs='+', help='steps with one of these texts in their name')
    args.add_argument('--again', action='store_true', help='also what is done for these weights')
    args.add_argument('--list', action='store_true', help='name the steps, do nothing')
    args.add_argument('--page', help=argparse.SUPPRESS)
    args.add_argument('--failed', type=Path, help=argparse.SUPPRESS)
    a = args.parse_args()
    if a.page: a.failed.write_text(json.dumps(run_cells(ROOT/'nbs'/f'{a.page}.ipynb', a.long)))
    else: main(a.long, a.only, a.again, a.list)
