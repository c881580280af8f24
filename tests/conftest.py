"What the tests share: the settings, and a copy of the tree to change at will."
import os, re, shutil, subprocess, sys
from importlib import metadata
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

# Tests run in several processes: each gets its share of the cores, before torch asks how many there are
if workers := int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 0)):
    os.environ.setdefault('OMP_NUM_THREADS', str(max(1, os.cpu_count()//workers)))

import pytest
from nbdev.config import get_config
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT/'tools'))
from screenshot import BROWSER, BROWSER_FLAGS  # noqa: E402, F401
NEEDED = os.environ.get('NULLTEXT_BROWSER') == '1'  # set where nothing may be skipped
TORTURE = os.environ.get('NULLTEXT_TORTURE') == '1'  # set where the long form of the tests below is wanted
MANY = dict(images=10_000 if TORTURE else 500,  # how often each is tried
            inversions=10_000 if TORTURE else 300,
            panel_pictures=11 if TORTURE else 0, presses=50 if TORTURE else 3,
            calls=50 if TORTURE else 3, edits=1_000 if TORTURE else 100, kills=32 if TORTURE else 4)


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at marks
def pytest_collection_modifyitems(items):
    "The tests of a module that counts by `MANY` have a long form."
    for item in items:
        if hasattr(item.module, 'MANY'): item.add_marker('many')


def need_browser(*modules):
    "Skip where a browser or `modules` are missing, or fail where that is not allowed."
    missing = [m for m in modules if not find_spec(m)]
    if not BROWSER: missing.append('Chromium (Debian: apt-get install chromium)')
    stop = pytest.fail if NEEDED else pytest.skip
    if missing: stop(f'not installed: {", ".join(missing)}; nothing was opened in a browser')


def python(*args, exe=sys.executable, **kw):
    "Run Python; fail with what it said if it fails."
    res = subprocess.run([exe, *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
    if res.returncode: pytest.fail(f'{args}\n{res.stdout[-6000:]}', pytrace=False)
    return res.stdout


def tool(name):
    "A script of `tools/` as a module."
    spec = spec_from_file_location(name, ROOT/'tools'/f'{name}.py')
    mod = module_from_spec(spec)
    spec.loader.exec_module(mod)
    return mod


@pytest.fixture(scope='session')
def cfg(): return get_config(path=ROOT)


@pytest.fixture(scope='session')
def tree(tmp_path_factory):
    "The project as a fresh clone has it: nothing that git ignores."
    ignored = [o.strip().strip('/') for o in (ROOT/'.gitignore').read_text().splitlines()]
    dst = tmp_path_factory.mktemp('clone')/'tree'
    return shutil.copytree(ROOT, dst, symlinks=True, ignore=shutil.ignore_patterns('.git', *filter(None, ignored)))


def closure(reqs):
    "The installed distributions that `reqs` ask for, directly or not, by name."
    found, todo = {}, [Requirement(r) for r in reqs]
    seen = set()
    while todo:
        r = todo.pop()
        if (key := (canonicalize_name(r.name), frozenset(r.extras))) in seen: continue
        seen.add(key)
        found[key[0]] = dist = metadata.distribution(r.name)
        for q in map(Requirement, dist.requires or []):
            if not q.marker or any(q.marker.evaluate({'extra': e}) for e in {'', *r.extras}): todo.append(q)
    return found


def link(dists, folder):
    "Make what `dists`, by name, hold importable from `folder`, without installing it again (PyTorch is several GB)."
    folder.mkdir()
    for dist in dists.values():
        for top in {p.parts[0] for p in dist.files} - {'..', '__pycache__'}:
            if not (folder/top).exists(): (folder/top).symlink_to(dist.locate_file(top))
    return folder


@pytest.fixture(scope='session')
def alone(cfg, tree, tmp_path_factory):
    """The Python of a second environment that holds the package and what it requires, and nothing for development.

    Packages that the dev extra does not pin are linked, and lie outside the environment, where pip reads but never
    writes. pip resolves and installs the rest: the newest fastcore.
    """
    tmp = tmp_path_factory.mktemp('alone')
    pinned = {canonicalize_name(Requirement(r).name) for r in cfg.dev_requirements.split()}
    wanted = closure(cfg.requirements.split())
    linked = link({k: d for k, d in wanted.items() if k not in pinned}, tmp/'linked')
    python('-m', 'venv', tmp/'env')
    exe = tmp/'env'/'bin'/'python'
    purelib = python('-c', 'import sysconfig; print(sysconfig.get_path("purelib"))', exe=exe).strip()
    (Path(purelib)/'linked.pth').write_text(f'{linked}\n')

    pip = [exe, '-m', 'pip', '--disable-pip-version-check', 'install', '-q']
    res = subprocess.run([*pip, '--no-deps', 'fastcore>=2'], text=True, capture_output=True)
    if res.returncode and os.environ.get('CI') != 'true':
        pytest.skip(f'no package registry: {res.stderr.strip().splitlines()[-1]}')
    src = shutil.copytree(tree, tmp/'src', symlinks=True)  # building leaves files behind
    python(*pip[1:], 'fastcore>=2', src, exe=exe)
    python('-m', 'pip', 'check', exe=exe)
    return exe


@pytest.fixture(scope='session')
def docs(tree, tmp_path_factory):
    "The site, built in a copy of the project, so that the copy that a reader may have open stays as it is."
    src = shutil.copytree(tree, tmp_path_factory.mktemp('site')/'tree', symlinks=True)
    out = python('tools/docs.py', cwd=src, env=os.environ | {'PYTHONPATH': str(src)})
    assert not re.findall('^warning: .*', out, re.M)
    return src/'_docs'


@pytest.fixture(scope='session')
def browser():
    need_browser('playwright', 'axe_playwright_python')
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        yield browser
        browser.close()
