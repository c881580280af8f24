"What holds for the project as a whole: its files agree with each other, and the package stands alone."
import ast, filecmp, json, re, sys, textwrap, time
from pathlib import Path

import pytest
from conftest import ROOT, python, tool
from IPython.core.inputtransformer2 import TransformerManager

pytestmark = pytest.mark.quick

NOTEBOOKS = sorted(p for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
DATA = ROOT/'nulltext_nb'/'data'


def name(nb): return nb.relative_to(ROOT/'nbs').with_suffix('').as_posix()


each_notebook = pytest.mark.parametrize('nb', NOTEBOOKS, ids=name)


def cells(nb, kind='code'):
    "Sources and outputs of the cells of one `kind`."
    for c in json.loads(nb.read_text(encoding='utf-8'))['cells']:
        if c['cell_type'] == kind: yield ''.join(c['source']), c.get('outputs', [])


# ---- The notebooks as they are stored

def test_export_and_clean_change_nothing(tree):
    bin = Path(sys.executable).parent
    for cmd in 'nbdev_export', 'nbdev_clean': python(bin/cmd, cwd=tree)
    files = [p.relative_to(ROOT) for p in [*NOTEBOOKS, *(ROOT/'nulltext_nb').rglob('*.py')]]
    same, changed, missing = filecmp.cmpfiles(ROOT, tree, files, shallow=False)
    assert not changed and not missing, f'run nbdev_export and nbdev_clean: {changed + missing}'
    new = {p.relative_to(tree) for p in (tree/'nulltext_nb').glob('**/*.py')} - set(files)
    assert not new, f'run nbdev_export: {new}'


SHOWS = {'print', 'display', 'show_images', 'compare', 'HTML', 'show'}  # calls that always leave an output
VALUES = (ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.Compare)  # last lines that do, too


def should_show(src, flags):
    "Does a cell with source `src` leave an output whenever it runs? Only what is certain counts."
    off = '|'.join(f'{f}\\b' for f in flags)
    if re.search(rf'^#\|\s*(eval:\s*false|output:\s*false|hide|{off})', src, re.M): return False
    body = ast.parse(TransformerManager().transform_cell(src)).body
    if not body or src.rstrip().endswith(';'): return False
    values = [o.value for o in body if isinstance(o, ast.Expr)]
    if isinstance(body[-1], ast.Expr) and isinstance(values[-1], VALUES): return True
    calls = [v.func for v in values if isinstance(v, ast.Call)]
    return any(getattr(f, 'id', getattr(f, 'attr', None)) in SHOWS for f in calls)


@each_notebook
def test_outputs_are_stored(nb, cfg):
    flags = cfg.tst_flags.split()
    empty = [src for src, outs in cells(nb) if not outs and should_show(src, flags)]
    assert not empty, 'run the notebook and save it with its outputs; nothing stored for:\n\n' + '\n\n'.join(empty)


@each_notebook
def test_no_errors_are_stored(nb):
    errors = [f"{o['ename']}: {o['evalue']}" for _, outs in cells(nb) for o in outs if o['output_type'] == 'error']
    assert not errors


TOP = 'home|root|Users|work|tmp|private|var|opt|usr|mnt|srv'


def told(out):
    "The text of an output."
    parts = [*out.items(), *out.get('data', {}).items()]
    return ''.join(''.join(v) for k, v in parts if k.startswith('text'))


@each_notebook
def test_no_machine_paths(nb):
    everything = [s for kind in ('markdown', 'code') for s, _ in cells(nb, kind)]
    everything += [told(o) for _, outs in cells(nb) for o in outs]
    bare = re.sub(r'base64,[A-Za-z0-9+/=\s]+', '', '\n'.join(everything))  # a picture may spell anything
    assert not re.findall(rf'(?<![\w.:/~])/(?:{TOP})/[\w./-]+|\b[A-Z]:\\\w+', bare)


@each_notebook
def test_figures_are_light_and_described(nb):
    for src, outs in cells(nb):
        for o in outs:
            data = o.get('data', {})
            if 'image/png' in data:
                assert len(''.join(data['image/png']))*3/4 <= 200e3, f'a figure above 200 kB: {src[:80]}'
                assert '#| fig-alt:' in src, f'a figure without alt text: {src[:80]}'
            html = ''.join(data.get('text/html', ''))
            assert len(html)*3/4 <= 200e3, f'pictures above 200 kB: {src[:80]}'
            assert all('alt="' in img and 'alt=""' not in img for img in re.findall('<img[^>]*>', html)), src[:80]


# ---- Files that follow from others

def test_readme_is_the_index(cfg):
    md, pictures = tool('docs').readme(cfg)
    assert (ROOT/'README.md').read_text(encoding='utf-8') == md, 'run make docs'
    assert not [n for n, data in pictures.items() if (ROOT/n).read_bytes() != data], 'run make docs'
    here = [o for o in re.findall(r'(?:\]\(|\bsrc="|\bhref=")([^)"#\s]+)', md) if '://' not in o]
    assert not [o for o in here if not (ROOT/o).exists()], 'links to files that do not exist'


PAIR = r'([\w-]+)/([\w-]+)'
ADDRESS = rf'github\.com/(?:github/)?{PAIR}|colab\.research\.google\.com/github/{PAIR}|([\w-]+)\.github\.io/([\w-]+)'
WRITTEN = {'.ipynb', '.md', '.py', '.yml', '.toml', '.in', '.css', ''}  # endings of what people write


def strange_addresses(text, cfg, derived):
    "Addresses in `text` that are nearly ours, or that are ours where only settings.ini may hold them."
    for m in re.finditer(ADDRESS, text):
        user, repo = filter(None, m.groups())
        near, ours = user == cfg.user or repo == cfg.repo, (user, repo) == (cfg.user, cfg.repo)
        if near and not (ours and derived): yield m[0]


def test_links_follow_the_settings(cfg, tree):
    "Our address is written in settings.ini; notebooks and what is made from them repeat it exactly, nothing else does."
    relink, wrong = tool('links').relink, []
    for p in sorted(tree.rglob('*')):
        if not p.is_file() or p.suffix not in WRITTEN or p.is_relative_to(tree/'nulltext_nb'/'data'): continue
        text = p.read_text(encoding='utf-8')
        if relink(text, cfg) != text: wrong.append(f'{p.name}: run make links')
        derived = p.suffix == '.ipynb' or p.name in {'README.md', '_modidx.py'}
        wrong += [f'{p.name}: {a}' for a in strange_addresses(text, cfg, derived)]
    assert not wrong


# ---- What depends on the weights

def test_renewal_runs_every_page():
    pages = [ROOT/'nbs'/f'{p}.ipynb' for p in tool('renew').reading_order()]
    assert pages == [ROOT/'nbs'/'index.ipynb', *sum(sidebar(), [])]


def test_numbers_of_another_model_are_said_to_be_old(tmp_path, monkeypatch):
    stored = tool('stored')
    monkeypatch.setattr(stored, 'ROOT', tmp_path)
    monkeypatch.setattr(stored, 'RUNS', tmp_path/'runs.json')
    def cell(source, outputs=()): return dict(cell_type='code', source=[source], outputs=[*outputs])
    reads, slow = dict(cells=[cell("read('../results/race.json')")]), dict(cells=[cell('#| slow\nf()', ['text'])])
    (tmp_path/'nbs'/'results').mkdir(parents=True)
    (tmp_path/'nbs'/'results'/'race.json').write_text('{"model": "a"}')
    (tmp_path/'runs.json').write_text('{"page": "a"}')
    assert [stored.is_old(nb, 'page', model) for nb in (reads, slow) for model in 'ab'] == [False, True]*2
    assert stored.is_old(slow, 'another page', 'a') and not stored.is_old(dict(cells=[cell('f()')]), 'page', 'b')


# ---- The package

def test_import_is_light():
    "`import nulltext_nb` and the names it offers cost nothing until one is used."
    code = '''
        import sys, nulltext_nb
        heavy = {'torch', 'diffusers', 'transformers', 'accelerate', 'matplotlib', 'IPython', 'ipywidgets'}
        assert not heavy & set(sys.modules)
        from nulltext_nb import load_pipe, load_image, invert, edit, Inversion
        assert callable(invert) and callable(edit), 'a module has the name of a function'
        assert {'load_pipe', 'invert', 'edit'} <= set(dir(nulltext_nb))
        try: nulltext_nb.no_such_name
        except AttributeError as e: assert 'no_such_name' in str(e)
        else: raise AssertionError('a name that does not exist was found')
    '''
    python('-c', textwrap.dedent(code), cwd=ROOT)


def test_import_is_fast():
    "Less than 0.3 seconds beside what Python itself needs; the best of five, as the machine may be busy."
    def seconds(code):
        start = time.perf_counter()
        python('-c', code, cwd=ROOT)
        return time.perf_counter() - start
    assert min(seconds('import nulltext_nb') for _ in range(5)) - min(seconds('pass') for _ in range(5)) < 0.3


def test_the_package_holds_data_and_no_code():
    "Reading our files can never run code; for what is written in Python, ruff sees to it."
    files = [p for p in DATA.rglob('*') if p.is_file()]
    assert files and {p.suffix for p in files} <= {'.png', '.webp', '.json', '.txt', '.csv', '.safetensors', '.md'}
    assert sum(p.stat().st_size for p in files) <= 40e6


# ---- The plan: where things stand, and what may import what

def module_of(nb):
    "The module that a page exports, below the package, or None."
    found = [m[1] for src, _ in cells(nb) if (m := re.match(r'#\|\s*default_exp\s+([\w.]+)', src))]
    return found[0] if found else None


def sidebar():
    "The pages of each section, as the sidebar lists them."
    parts = (ROOT/'_quarto.yml').read_text(encoding='utf-8').split('- section:')[1:]
    return [[ROOT/'nbs'/p for p in re.findall(r'^\s*- (\w[\w/]*\.ipynb)$', part, re.M)] for part in parts]


FOLDERS = ['.', 'custom_pipeline', 'world', 'lab', 'app', 'reference']  # each builds on those before it


def folder(nb): return nb.parent.relative_to(ROOT/'nbs').as_posix()


def building_order():
    "The pages in the order in which one builds on another: by folder and number."
    return sorted((p for p in NOTEBOOKS if p.stem != 'index'), key=lambda p: (FOLDERS.index(folder(p)), p.name))


def parsed(module):
    "The syntax tree of a module, named below the package."
    file = (ROOT/'nulltext_nb'/module.replace('.', '/')).with_suffix('.py')
    return ast.parse(file.read_text(encoding='utf-8'))


def offered(module):
    "The names in `__all__`."
    assigned = {ast.unparse(n.targets[0]): n.value for n in parsed(module).body if isinstance(n, ast.Assign)}
    return ast.literal_eval(assigned['__all__'])


def imported(module):
    "The modules of the package that `module` imports, anywhere in it."
    here = ['nulltext_nb', *module.split('.')]
    for node in ast.walk(parsed(module)):
        if not isinstance(node, ast.ImportFrom): continue
        name = '.'.join([*here[:-node.level], *filter(None, [node.module])]) if node.level else node.module
        every = [name, *(f'{name}.{a.name}' for a in node.names)]
        if name.split('.')[0] == 'nulltext_nb': yield from (n.partition('.')[2] for n in every)


def test_folders_numbers_and_names_agree():
    every = [p for section in sidebar() for p in section]
    assert sorted(every) == [p for p in NOTEBOOKS if p.stem != 'index'], 'the sidebar holds every page once'
    for section in sidebar():
        for f in FOLDERS:
            pages = [p for p in section if folder(p) == f]
            assert pages == sorted(pages), 'a section of the sidebar follows the numbers'
    for p in every:
        above = folder(p).replace('reference', '.').strip('.')
        if m := module_of(p): assert m == '.'.join(filter(None, [above, re.sub(r'^\d+_', '', p.stem)]))


def test_modules_import_only_from_earlier_ones():
    order = [m for p in building_order() if (m := module_of(p))]
    late = [f'{m} imports {i}' for n, m in enumerate(order) for i in imported(m) if i in order[n:]]
    assert not late


def test_one_name_means_one_thing():
    "No two modules offer the same name, and no function is called like a module."
    seen, twice, modules = {}, [], [m for p in building_order() if (m := module_of(p))]
    for m in modules:
        twice += [f'{n}: {seen[n]}, {m}' for n in offered(m) if n in seen]
        seen |= dict.fromkeys(offered(m), m)
    assert not twice
    assert not {m.split('.')[-1] for m in modules} & set(seen)
