"What holds for the project as a whole: its files agree with each other, and the package stands alone."
import ast, filecmp, importlib.util, json, os, re, sys, textwrap
from pathlib import Path

import pytest
from conftest import ROOT, python
from IPython.core.inputtransformer2 import TransformerManager

NOTEBOOKS = sorted(p for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
DATA = ROOT/'nulltext_nb'/'data'
each_notebook = pytest.mark.parametrize('nb', NOTEBOOKS, ids=lambda p: p.relative_to(ROOT/'nbs').with_suffix('').as_posix())


def tool(name):
    "A script of `tools/` as a module."
    spec = importlib.util.spec_from_file_location(name, ROOT/'tools'/f'{name}.py')
    mod = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mod)
    return mod


def cells(nb, kind='code'):
    "Sources and outputs of the cells of one `kind`."
    for c in json.loads(nb.read_text(encoding='utf-8'))['cells']:
        if c['cell_type'] == kind: yield ''.join(c['source']), c.get('outputs', [])


# ---- The notebooks as they are stored

def test_export_and_clean_change_nothing(tree):
    bin = Path(sys.executable).parent
    for cmd in 'nbdev_export', 'nbdev_clean': python(bin/cmd, cwd=tree)
    files = [p.relative_to(ROOT) for d, g in (('nbs', '**/[!.]*.ipynb'), ('nulltext_nb', '**/*.py')) for p in (ROOT/d).glob(g)]
    same, changed, missing = filecmp.cmpfiles(ROOT, tree, files, shallow=False)
    assert not changed and not missing, f'run nbdev_export and nbdev_clean: {changed + missing}'
    new = {p.relative_to(tree) for p in (tree/'nulltext_nb').glob('**/*.py')} - set(files)
    assert not new, f'run nbdev_export: {new}'


SHOWS = {'print', 'display', 'show_images', 'compare', 'HTML', 'show'}  # calls that always leave an output


def should_show(src, flags):
    "Does a cell with source `src` leave an output whenever it runs? Only what is certain counts."
    if re.search(r'^#\|\s*(eval:\s*false|output:\s*false|hide|' + '|'.join(f'{f}\\b' for f in flags) + ')', src, re.M): return False
    body = ast.parse(TransformerManager().transform_cell(src)).body
    if not body: return False
    last, silent = body[-1], src.rstrip().endswith(';')
    if isinstance(last, ast.Expr) and isinstance(last.value, (ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.Compare)): return not silent
    calls = [o.value.func for o in body if isinstance(o, ast.Expr) and isinstance(o.value, ast.Call)]
    return not silent and any(getattr(f, 'id', getattr(f, 'attr', None)) in SHOWS for f in calls)


@each_notebook
def test_outputs_are_stored(nb, cfg):
    flags = cfg.tst_flags.split()
    empty = [src for src, outs in cells(nb) if not outs and should_show(src, flags)]
    assert not empty, 'run the notebook and save it with its outputs; nothing stored for:\n\n' + '\n\n'.join(empty)


@each_notebook
def test_no_errors_are_stored(nb):
    errors = [f"{o['ename']}: {o['evalue']}" for _, outs in cells(nb) for o in outs if o['output_type'] == 'error']
    assert not errors


@each_notebook
def test_no_machine_paths(nb):
    text = lambda o: ''.join(''.join(v) for k, v in [*o.items(), *o.get('data', {}).items()] if k.startswith('text'))
    everything = [s for kind in ('markdown', 'code') for s, _ in cells(nb, kind)] + [text(o) for _, outs in cells(nb) for o in outs]
    bare = re.sub(r'base64,[A-Za-z0-9+/=\s]+', '', '\n'.join(everything))  # a picture may spell anything
    found = re.findall(r'(?<![\w.:/~])/(?:home|root|Users|work|tmp|private|var|opt|usr|mnt|srv)/[\w./-]+|\b[A-Z]:\\\w+', bare)
    assert not found


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


def test_links_follow_the_settings(cfg, tree):
    "Our address is written in settings.ini; notebooks and what is made from them repeat it exactly, nothing else does."
    relink, ours = tool('links').relink, f'{cfg.user}/{cfg.repo}'
    address = re.compile(r'github\.com/(?:github/)?([\w-]+)/([\w-]+)|colab\.research\.google\.com/github/([\w-]+)/([\w-]+)|([\w-]+)\.github\.io/([\w-]+)')
    wrong = []
    for p in sorted(tree.rglob('*')):
        if not p.is_file() or p.suffix not in {'.ipynb', '.md', '.py', '.yml', '.toml', '.in', '.css', ''} or p.is_relative_to(tree/'nulltext_nb'/'data'): continue
        text, derived = p.read_text(encoding='utf-8'), p.suffix == '.ipynb' or p.name in {'README.md', '_modidx.py'}
        if relink(text, cfg) != text: wrong.append(f'{p.name}: run make links')
        for m in address.finditer(text):
            user, repo = filter(None, m.groups())
            if (user == cfg.user or repo == cfg.repo) and (f'{user}/{repo}' != ours or not derived): wrong.append(f'{p.name}: {m[0]}')
    assert not wrong


# ---- The package

def test_import_is_light():
    "`import nulltext_nb` and the names it offers cost nothing until one is used."
    code = '''
        import sys, nulltext_nb
        heavy = {'torch', 'diffusers', 'transformers', 'accelerate', 'matplotlib', 'IPython', 'ipywidgets'} & set(sys.modules)
        assert not heavy, heavy
        from nulltext_nb import load_pipe, load_image, invert, edit, Inversion
        assert callable(invert) and callable(edit), 'a module has the name of a function'
        assert {'load_pipe', 'invert', 'edit'} <= set(dir(nulltext_nb))
        try: nulltext_nb.no_such_name
        except AttributeError as e: assert 'no_such_name' in str(e)
        else: raise AssertionError('a name that does not exist was found')
    '''
    python('-c', textwrap.dedent(code), cwd=ROOT)


def test_no_pickles():
    "Reading our files, or files that we wrote, can never run code."
    unsafe = re.compile(r'\bimport pickle|\bpickle\.|\btorch\.(load|save)\(|trust_remote_code|allow_pickle|\bjoblib\b|\.pkl\b|weights_only\s*=\s*False')
    code = {str(p): p.read_text(encoding='utf-8') for p in (ROOT/'nulltext_nb').glob('**/*.py')}
    code |= {str(nb): '\n'.join(src for src, _ in cells(nb)) for nb in NOTEBOOKS}
    found = [f'{name}: {m[0]}' for name, text in code.items() for m in unsafe.finditer(text)]
    assert not found
    files = [p for p in DATA.rglob('*') if p.is_file()]
    assert files and {p.suffix for p in files} <= {'.png', '.webp', '.json', '.txt', '.csv', '.safetensors', '.md'}
    assert sum(p.stat().st_size for p in files) <= 40e6


# ---- The plan: where things stand, and what may import what

def module_of(nb):
    "The module that a page exports, below the package, or None."
    found = [m[1] for src, _ in cells(nb) if (m := re.match(r'#\|\s*default_exp\s+([\w.]+)', src))]
    return found[0] if found else None


def reading_order():
    "The pages as the sidebar lists them."
    return [ROOT/'nbs'/p for p in re.findall(r'^\s*- (\w[\w/]*\.ipynb)$', (ROOT/'_quarto.yml').read_text(encoding='utf-8'), re.M)]


def parsed(module): return ast.parse((ROOT/'nulltext_nb'/module.replace('.', '/')).with_suffix('.py').read_text(encoding='utf-8'))


def imported(module):
    "The modules of the package that `module` imports, anywhere in it."
    here = ['nulltext_nb', *module.split('.')]
    for node in ast.walk(parsed(module)):
        if not isinstance(node, ast.ImportFrom): continue
        name = '.'.join([*here[:-node.level], *filter(None, [node.module])]) if node.level else node.module
        if name.split('.')[0] == 'nulltext_nb': yield from (n.partition('.')[2] for n in (name, *(f'{name}.{a.name}' for a in node.names)))


def test_folders_numbers_and_names_agree():
    order = reading_order()
    assert sorted(order) == [p for p in NOTEBOOKS if p.stem != 'index'], 'the sidebar holds every page once'
    folders = list(dict.fromkeys(p.parent for p in order))
    assert order == sorted(order, key=lambda p: (folders.index(p.parent), p.name)), 'the sidebar follows folders and numbers'
    for p in order:
        folder = p.parent.relative_to(ROOT/'nbs').as_posix().replace('reference', '.').strip('.')
        if m := module_of(p): assert m == '.'.join(filter(None, [folder, re.sub(r'^\d+_', '', p.stem)]))


def test_modules_import_only_from_earlier_ones():
    order = [m for p in reading_order() if (m := module_of(p))]
    late = [f'{m} imports {i}' for n, m in enumerate(order) for i in imported(m) if i in order[n:]]
    assert not late


def test_one_name_means_one_thing():
    "No two modules offer the same name, and no function is called like a module."
    seen, twice, modules = {}, [], [m for p in reading_order() if (m := module_of(p))]
    for m in modules:
        names = next(ast.literal_eval(n.value) for n in parsed(m).body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == '__all__')
        twice += [f'{n}: {seen[n]}, {m}' for n in names if n in seen]
        seen |= dict.fromkeys(names, m)
    assert not twice
    assert not {m.split('.')[-1] for m in modules} & set(seen)


# ---- The package alone, with the newest of everything

@pytest.mark.xdist_group('alone')
@pytest.mark.network
def test_installs_alone(alone, tmp_path):
    code = '''
        import importlib.util as iu, fastcore, nulltext_nb, sys
        from pathlib import Path
        assert int(fastcore.__version__.split('.')[0]) >= 2, fastcore.__version__
        extra = [m for m in ('nbdev', 'fastai', 'execnb', 'torchvision', 'resvg_py', 'fastprogress', 'pytest') if iu.find_spec(m)]
        assert not extra, f'the environment holds {extra}'
        here = Path(nulltext_nb.__file__).parent
        assert here.is_relative_to(sys.prefix), f'{here} is not the installed package'
        print(*sorted(p.relative_to(here/'data').as_posix() for p in (here/'data').rglob('*') if p.is_file()), sep='\\n')
    '''
    out = python('-c', textwrap.dedent(code), exe=alone, cwd=tmp_path)
    assert out.split('\n')[:-1] == sorted(p.relative_to(DATA).as_posix() for p in DATA.rglob('*') if p.is_file())


@pytest.mark.xdist_group('alone')
@pytest.mark.network
def test_works_alone(alone, cfg, tmp_path):
    "One image through Python and through the commands, two steps each, without the hub."
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'} | {'HF_HUB_OFFLINE': '1', 'MPLBACKEND': 'Agg'}
    code = '''
        from PIL import Image
        from nulltext_nb import load_pipe, load_image, invert, edit, Inversion
        Image.radial_gradient('L').convert('RGB').resize((150, 150)).save('in.png')
        pipe = load_pipe()
        inv = invert(pipe, load_image('in.png'), 'a cat on grass', T=2)
        inv.save('a.safetensors')
        edit(pipe, Inversion.load('a.safetensors'), 'a dog on grass')
    '''
    python('-c', textwrap.dedent(code), exe=alone, cwd=tmp_path, env=env)
    for line in cfg.console_scripts.split():
        assert 'usage' in python(alone.with_name(line.split('=')[0]), '--help', exe=alone, cwd=tmp_path, env=env).lower()
    run = lambda name, *args: python(alone.with_name(name), *args, exe=alone, cwd=tmp_path, env=env)
    run('nulltext_invert', 'in.png', 'a cat on grass', '-o', 'b.safetensors', '--T', '2')
    run('nulltext_edit', 'b.safetensors', 'a dog on grass', '-o', 'out.png')
    assert (tmp_path/'out.png').stat().st_size
