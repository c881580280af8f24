"Build the site into _docs/, and README.md from the index, without network and without the Quarto program."
import re, shutil, sys
from fnmatch import fnmatch
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbdev.config import get_config
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
from smalldocs.site import build

from nulltext_nb.files import writing
from nulltext_nb.pipeline import fingerprint, load_pipe

sys.path.insert(0, str(Path(__file__).parent))
from pages import prepare
from panel import add_panel
from reference import add_modules, write_reference
from rendered import finish


def shown(cell):
    "`cell` as the site shows it, without directives, or None if it is hidden."
    if cell.cell_type != 'code': return cell
    def says(*ds): return any(re.search(rf'^#\|\s*{d}\s*$', cell.source, re.M) for d in ds)
    if says('hide', 'include: *false', r'default_exp.*'): return None
    no_source, no_output = says('echo: *false', 'hide_input'), says('output: *false', 'hide_output')
    cell.source = '' if no_source else re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M).strip()
    if no_output: cell.outputs = []
    return cell if cell.source or cell.outputs else None


def page(stem):
    "The site's name for a notebook, as nbdev has it: `world/50_scenes` is `world/scenes`."
    return re.sub(r'(^|/)\d+[a-z]*_', r'\1', stem)


def absolute(md,  # Markdown as it stands in `nbs/`
             site # The site's address
    ):
    "`md` with links that hold outside `nbs/`: pages on the site, files from the top of the repository."
    link = r'(\]\(|\b(?:href|src)=")'
    md = re.sub(link + r'([\w/]+)\.(?:ipynb|html)\b', lambda m: f'{m[1]}{site}/{page(m[2])}.html', md)
    md = re.sub(link + r'images/', r'\1nbs/images/', md)
    return re.sub(link + r'\.\./', r'\1', md)


def readme(cfg):
    "The index as Markdown, and its pictures by name."
    nb = nbformat.read(cfg.nbs_path/cfg.readme_nb, as_version=4)
    nb.cells = [c for c in map(shown, nb.cells) if c]
    for c in nb.cells:  # GitHub shows no pictures that stand inside the page: the strip at the top is a file
        if c.cell_type == 'code': c.outputs = [o for o in c.outputs if 'text/html' not in o.get('data', {})]
    nb.cells = [c for c in nb.cells if c.source or c.get('outputs')]
    nb.metadata.language_info = {'name': 'python'}  # for the code fences; nbdev cleans it away
    exporter = MarkdownExporter()
    exporter.config.NbConvertBase.display_data_priority = ['text/markdown', 'image/png', 'image/jpeg', 'text/plain']
    md, res = exporter.from_notebook_node(nb, {'unique_key': 'index', 'output_files_dir': 'nbs/images'})
    md = absolute(md, cfg.doc_host + cfg.doc_baseurl)
    md = re.sub(r'[ \t]+$', '', md, flags=re.M)
    return re.sub(r'\n{3,}', '\n\n', md).strip() + '\n', res['outputs']


def spread(config, # Text of `_quarto.yml`
           pages   # Paths of the notebooks, without their ending
    ):
    "`config` with its patterns for pages, such as `lab/5*.ipynb`, written out: renamed pages would not match them."
    def names(m): return ''.join(f'{m[1]}{p}.ipynb\n' for p in sorted(pages) if fnmatch(p, m[2]))
    return re.sub(r'^(\s*- )auto: ["\']?([\w/*\[\]-]*\*[\w/*\[\]-]*)\.ipynb["\']?\n', names, config, flags=re.M)


def rename(proc, # nbdev's processed notebooks
           site  # The site's address
    ):
    "Give pages their names on the site and make links between them relative: smalldocs reads no `output-file`."
    files = [*proc.rglob('*.ipynb')]
    pages = [p.relative_to(proc).with_suffix('').as_posix() for p in files]
    # a whole relative path: `../lab/40_edits.ipynb` is another page, `nbs/lab/40_edits.ipynb` in an address is a file
    stems = '|'.join({p.split('/')[-1] for p in pages})
    names = re.compile(rf"(?<![\w/])((?:\.\./)?(?:[a-z_]+/)?)({stems})\.(ipynb|html)\b")
    config = proc/'_quarto.yml'
    config.write_text(spread(config.read_text(encoding='utf-8'), pages), encoding='utf-8')
    for p in [*files, config]:
        up = '../'*len(p.relative_to(proc).parent.parts)
        text = p.read_text(encoding='utf-8').replace(f'{site}/', up)
        text = re.sub(r'output-file: [\w.]+\\n', '', text)
        p.write_text(names.sub(lambda m: f'{m[1]}{page(m[2])}.{m[3]}', text), encoding='utf-8')
        if p != config: p.rename(p.with_stem(page(p.stem)))


def site(cfg):
    "Process the notebooks into _proc/ and render them into the docs folder."
    proc = cfg.config_path/'_proc'
    shutil.rmtree(proc, ignore_errors=True)  # nbdev would keep pages that are no longer there
    refresh_quarto_yml()
    proc_nbs()
    places = write_reference(proc, cfg.nbs_path, f'{cfg.git_url}/blob/{cfg.branch}')
    prepare(proc, cfg.nbs_path, places, fingerprint(load_pipe()))
    rename(proc, cfg.doc_host + cfg.doc_baseurl)
    for w in build(proc).warnings: print('warning:', w)
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(proc/cfg.doc_path.name, cfg.doc_path)
    finish(cfg.doc_path, cfg.nbs_path/'results')
    add_modules(cfg.doc_path, places)
    add_panel(cfg.doc_path/'site_libs'/'live')


if __name__ == '__main__':
    cfg = get_config()
    md, pictures = readme(cfg)
    with writing(cfg.config_path/'README.md') as part: part.write_text(md, encoding='utf-8')
    for name, data in pictures.items():
        with writing(cfg.config_path/name) as part: part.write_bytes(data)
    site(cfg)
