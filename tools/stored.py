"Pages that show stored numbers of another model than the package's, and the one sentence that they say about it."
import json, re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT/'nbs'/'results'/'runs.json'   # from page to the model, a fingerprint, that its slow cells last ran with
FREE = {'memory'}                         # results that no weights enter
NOTE = ('*Measured with an earlier edition of the embedded model (the first drew 64 pixels): {}. All else here is of '
        "the package's model; `tools/renew.py --long` measures anew.*")


def code(nb): return [''.join(c['source']) for c in nb['cells'] if c['cell_type'] == 'code']


def is_slow(nb):
    "Has the notebook stored outputs of cells that only a long run executes?"
    shown = [''.join(c['source']) for c in nb['cells'] if c.get('outputs')]
    return any(re.search(r'^#\|\s*slow\b', src, re.M) for src in shown)


def read_json(file): return json.loads(file.read_text(encoding='utf-8')) if file.exists() else {}


def results_of(nb):
    "The names of the stored results that the notebook reads."
    return set(re.findall(r'results/(\w+)\.json', '\n'.join(code(nb)))) - FREE


def old_parts(nb, page, model):
    "What the notebook of `page` shows that was not measured with `model`, in words."
    measured = {f'`{name}.json`': read_json(ROOT/'nbs'/'results'/f'{name}.json') for name in sorted(results_of(nb))}
    if is_slow(nb): measured['the cells that run long'] = dict(model=read_json(RUNS).get(page))
    return [part for part, found in measured.items() if found.get('model') != model]


def is_old(nb, page, model):
    "Does the notebook of `page` show numbers that were not measured with `model`?"
    return bool(old_parts(nb, page, model))


def note(parts): return NOTE.format(' and '.join([', '.join(parts[:-1])]*(len(parts) > 1) + parts[-1:]))
