"""The reference: a page for each module, from the code's docments, and an index of all names.

An entry has the signature, the docstring, a table of the parameters with types and shapes, what is raised, an example
that stands alone, the pages that use the name, and the source, folded.
"""
import ast, inspect, json, re
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path
from textwrap import dedent

import torch
from PIL import Image
from smalldocs.api import (
    EMPTY, default_text, doc, has_init, line_of, methods, own, package_modules, summary, table)

import nulltext_nb
from examples import alone, written
from raised import raised
from typed import LETTERS, typed

FOLDER = 'api'
WIDTH = 44  # columns of a signature on one line, which a phone has room for
EXAMPLE = 9  # lines of an example
DOORS = ('load_pipe', 'load_image', 'invert', 'edit', 'Inversion')  # that most readers want first
REASONS = 4  # of errors that are shown unfolded


def short(mod): return mod.__name__.removeprefix('nulltext_nb.')


def with_methods(top): return [top, *(methods(top) if inspect.isclass(top) else [])]


def public(mod): return [o for top in own(mod) for o in with_methods(top)]


# ---- What the notebooks say of a name

def code_of(cell):
    "What Python sees of a code `cell`: no directives, no commands to the shell."
    source = ''.join(cell['source'])
    return '' if source.lstrip().startswith('%%') else re.sub(r'^(#\||\s*[!%]).*\n?', '', source, flags=re.M).strip()


def names_in(code):
    "Every name and attribute that `code` uses."
    nodes = [*ast.walk(ast.parse(code))]
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}


@cache
def lessons(nbs # Folder of the notebooks
    ):
    "Of every notebook the title, the module it writes, and its cells of code: (exported?, code, names)."
    found = {}
    for p in sorted(nbs.rglob('[0-9]*.ipynb')):
        cells = json.loads(p.read_text(encoding='utf-8'))['cells']
        title = re.search(r'^# (.*)', ''.join(cells[0]['source']))[1]
        code = [c for c in cells if c['cell_type'] == 'code']
        module = re.search(r'^#\|\s*default_exp (\S+)', '\n'.join(''.join(c['source']) for c in code), re.M)
        told = [(bool(re.search(r'^#\|\s*export', ''.join(c['source']), re.M)), code_of(c)) for c in code]
        name = re.sub(r'(^|/)\d+[a-z]*_', r'\1', p.relative_to(nbs).with_suffix('').as_posix())
        found[name] = title, module and module[1], [(out, text, names_in(text)) for out, text in told]
    return found


def shown_use(text, name # Of a function, or Class.method
    ):
    "Does a cell with the code `text` show how `name` is called, and nothing else to learn?"
    if len(text.split('\n')) > EXAMPLE or re.search(r'\b(test_\w+|expect_fail|assert|def|class)\b', text): return False
    calls = [n.func for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    return name.split('.')[-1] in [getattr(f, 'attr' if '.' in name else 'id', None) for f in calls]


@cache
def homes(nbs):
    "The module that offers a name, constants too; of the names at the top of the package, the package."
    offered = {name: m.__name__ for m in reading_order(nbs) for name in getattr(m, '__all__', ())}
    return offered | dict.fromkeys(nulltext_nb.__all__, 'nulltext_nb')


def example(name, module, nbs):
    "What is written for `name`, or a short cell that calls it, of its own page first; and the page it needs, or none."
    if name in written(): return written()[name], ''
    if is_common(name): return '', ''
    pages, use, needs = sorted(lessons(nbs).items(), key=lambda page: page[1][1] != module), '', ''
    for page, (title, _, cells) in pages:
        for i, (out, text, names) in enumerate(cells):
            if out or name.split('.')[-1] not in names or not shown_use(text, name): continue
            whole = alone(text, [(out, text) for out, text, _ in cells[:i]], homes(nbs))
            if whole: return whole, ''
            if not use: use, needs = text, f'<a href="../{page}.html">{title}</a>'
    return use, needs


def is_common(name # Of a function, or Class.method
    ):
    "Do other things have a method of this name, so that its use tells nothing?"
    others = torch.Tensor, torch.nn.Module, Image.Image, Path, dict, list, str, bytes
    return '.' in name and any(hasattr(o, name.split('.')[-1]) for o in others)


def used_on(name, module, nbs):
    "Links to the pages, other than the module's own, whose code uses `name`."
    if is_common(name): return ''
    name = name.split('.')[-1]
    pages = [(page, title) for page, (title, mod, cells) in lessons(nbs).items()
             if mod != module and any(name in names for _, _, names in cells)]
    return ', '.join(f'[{title}](/{page}.html)' for page, title in pages)


# ---- One entry

def signature(sym, known):
    "The head of `sym` as code: a line for each argument if it is long."
    parts, star = [], False
    for p in inspect.signature(sym).parameters.values():
        if p.name in ('self', 'cls'): continue
        if p.kind is p.KEYWORD_ONLY and not star: parts.append('*')
        star = star or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        stars = {p.VAR_POSITIONAL: '*', p.VAR_KEYWORD: '**'}.get(p.kind, '')
        kind, _, default, _ = known.get(p.name, ('', '', p.default, ''))
        shown = '' if stars or not kind else f': {kind}'
        parts.append(f'{stars}{p.name}{shown}' + ('' if default is EMPTY else f' = {default_text(default)}'))
    gives = '' if inspect.isclass(sym) or not (out := known.get('return', ('',))[0]) else f' -> {out}'
    name, line = sym.__qualname__, ', '.join(parts)
    if len(name + line + gives) + 2 <= WIDTH: return f'{name}({line}){gives}'
    return f'{name}(\n' + ''.join(f'    {p},\n' for p in parts) + f'){gives}'


def linked(text, places):
    "`text` with links from the names in it to their entries."
    def link(m): return f'[{m[0]}](/{places[m[1]]})' if m[1] in places else m[0]
    return re.sub(r'(?<![\[`])`([A-Za-z][\w.]*)`(?![\]`])', link, text)


def sources(sym, known):
    "Whose arguments `known` holds: its own under '', then those that it hands on, under the name of who takes them."
    fn, title, out = inspect.unwrap(sym.__init__ if inspect.isclass(sym) else sym), '', {}
    while getattr(fn, '__delwrap__', None):
        own = {*fn.__code__.co_varnames[:fn.__code__.co_argcount]}
        out |= {name: title for name in known if name in own and name not in out}
        fn = inspect.unwrap(fn.__delwrap__)
        title = fn.__qualname__.removesuffix('.__init__')
    return {name: '' if name == 'return' else out.get(name, title) for name in known}


def arguments(sym, known, places):
    "Tables of the arguments and of the result, as `typed` knows them: one for each that takes them."
    def row(name, kind, shape, default, told):
        first = 'returns' if name == 'return' else f'`{name}`'
        default = '' if name == 'return' else 'required' if default is EMPTY else f'`{default_text(default)}`'
        what = ' '.join(filter(None, [kind and f'`{kind}`', shape]))
        return [first, what, default, linked(told, places)]
    groups, shown = {}, {n: facts for n, facts in known.items() if n != 'return' or facts[0] or facts[3]}
    for name, title in sources(sym, known).items():
        if name in shown: groups.setdefault(title, []).append(row(name, *shown[name]))
    def part(title, rows):
        there = f'<a href="../{places[title]}"><code>{title}</code></a>' if title in places else f'<code>{title}</code>'
        head = f'<p class="label">Knobs of {there}, given by name</p>\n\n' if title else ''
        return head + table(rows, ['Parameter', 'Type, shape', 'Default', 'Description'])
    return '\n\n'.join(part(*group) for group in groups.items())


def refusals(sym, places):
    "What `sym` raises, and when: a list, folded if it is long; what others refuse for it by their modules."
    found, groups, own = {}, {'': []}, inspect.getmodule(sym)
    for error, when, where in raised(sym): found.setdefault((error, when), where)
    for (error, when), where in found.items():
        there = where.split('.', 1)[1]
        head = '' if where == own.__name__ else f'In [`{there}`](/{FOLDER}/{there}.html):\n\n'
        groups.setdefault(head, []).append(f'- `{error}`: {linked(when, places)}')
    told = '\n\n'.join(head + '\n'.join(lines) for head, lines in groups.items() if lines)
    if len(found) <= REASONS: return found and f'<p class="label">Raises</p>\n\n{told}'
    errors = ', '.join(f'<code>{error}</code>' for error in dict.fromkeys(error for error, _ in found))
    return f'<details class="raises"><summary>Raises {errors}: {len(found)} reasons</summary>\n\n{told}\n\n</details>'


def fold(code): return f'<details class="code-fold"><summary>Source</summary>\n\n```python\n{code}\n```\n\n</details>'


def described(sym, # A function, class or method
              level, # Of its heading
              mod, # Its module
              nbs, # Folder of the notebooks
              git, # Address of the repository's files
              places # Where the reference has each name
    ):
    "Everything about `sym` as Markdown."
    name = sym.__qualname__
    known = typed(sym, mod) if not inspect.isclass(sym) or has_init(sym) else {}
    there = {k: at for k, at in places.items() if k not in known and k != name}  # not itself, nor its arguments
    file = inspect.getmodule(sym).__name__.replace('.', '/')  # not the class's, if another page adds the method
    link = f'<a class="source{" sub"*(level > 2)}" href="{git}/{file}.py#L{line_of(sym)}">source</a>'
    parts = [link, f'{"#"*level} {name} {{#{name}}}']
    if known or not inspect.isclass(sym): parts.append(f'```python\n{signature(sym, known)}\n```')
    parts += [linked(doc(sym), there), arguments(sym, known, there), refusals(sym, there)]
    code, page = example(name, short(mod), nbs)
    if code:
        label = f'Example, with the variables of the page {page}' if page else 'Example'
        parts.append(f'<p class="label">{label}</p>\n\n```python\n{code.strip()}\n```')
    if pages := used_on(name, short(mod), nbs): parts.append(f'<p class="label">Used on</p>\n\n{pages}')
    return '\n\n'.join(filter(None, [*parts, fold(dedent(inspect.getsource(sym)).strip())]))


def by_use(mod, nbs):
    "The names of a module: those that most pages use first; and those that no page uses, where a good part is used."
    pages = {o: used_on(o.__name__, short(mod), nbs).count('](') for o in own(mod)}
    called = [o for o in pages if pages[o] or example(o.__name__, short(mod), nbs)[0]]
    if 4*len(called) < len(pages): return [*pages], []  # the commands, which no page calls as functions
    return sorted(called, key=lambda o: -pages[o]), [o for o in pages if o not in called]


def module_page(mod, nbs, git, places):
    "The page of one module."
    lesson = next((f'[All names](/{FOLDER}/index.qmd) · explained step by step on the page [{title}](/{page}.html).'
                   for page, (title, module, _) in lessons(nbs).items() if module == short(mod)), '')
    used, internal = by_use(mod, nbs)
    def entry_of(o, level): return described(o, level + o.__qualname__.count('.'), mod, nbs, git, places)
    def entries(tops, level): return [entry_of(o, level) for top in tops for o in with_methods(top)]
    parts = entries(used, 2)
    if internal: parts += ['## Internals {#internals}', 'No other page calls these.', *entries(internal, 3)]
    front = f'---\ntitle: {mod.__name__}\nsubtitle: {json.dumps(summary(mod))}\ntoc-depth: 2\n---'
    shapes = f'<details class="letters"><summary>The letters of the shapes</summary>\n\n{LETTERS}\n\n</details>'
    return '\n\n'.join([front, lesson, shapes, *parts]) + '\n'


# ---- All of them

def address(mod, o): return f'{FOLDER}/{short(mod)}.html#{o.__qualname__}'


def link(o): return f'[`{o.__qualname__}`](/{address(inspect.getmodule(o), o)})'


def names_table(names # With their modules
    ):
    rows = [[f'[`{o.__qualname__}`](/{address(m, o)})', summary(o), f'`{short(m)}`'] for m, o in names]
    return table(rows, ['Name', 'What it does', 'Module'])


def modules_table(mods):
    def names(m):
        n = len(own(m))
        return f'<details><summary>{n} name{"s"*(n > 1)}</summary>{" ".join(map(link, own(m)))}</details>'
    rows = [[f'[`{short(m)}`](/{FOLDER}/{short(m)}.html)', summary(m), names(m)] for m in mods]
    return table(rows, ['Module', 'What it is for', 'Names'])


def index_page(mods # In reading order
    ):
    "The names to start with, every module with its names, and every name from A to Z."
    told = [(m, o) for m in mods for o in public(m) if o in own(m) or summary(o)]  # methods that have a docstring
    every = sorted(told, key=lambda pair: pair[1].__qualname__.lower())
    doors = {name: getattr(nulltext_nb, name) for name in nulltext_nb.__all__}
    def is_door(o):
        door = doors.get(o.__qualname__)
        return door is not None and (door is o or inspect.unwrap(door) is o)
    first = [(m, o) for m, o in every if is_door(o)]
    first = sorted(first, key=lambda pair: [*DOORS, *doors].index(pair[1].__qualname__))
    def letter(a, group):
        return f'<details>\n<summary>{a} · {len(group)}</summary>\n\n{names_table(group)}\n\n</details>'
    groups = groupby(every, lambda pair: pair[1].__qualname__[0].upper())
    front = f'---\ntitle: All names\nsubtitle: {len(every)} functions, classes and methods, from their docstrings\n---'
    start = f'`from nulltext_nb import {", ".join(DOORS)}` and more:\n\n{names_table(first)}'
    a_to_z = '\n\n'.join(letter(a, [*group]) for a, group in groups)
    return f'{front}\n\n## Start here\n\n{start}\n\n## Modules\n\n{modules_table(mods)}\n\n## From A to Z\n\n{a_to_z}\n'


def reading_order(nbs):
    "The modules of the package as the pages tell them."
    order = [module for _, module, _ in lessons(nbs).values()]
    mods = [m for m in package_modules('nulltext_nb') if own(m) and short(m) in order]
    return sorted(mods, key=lambda m: order.index(short(m)))


def write_reference(proc, # Folder of the pages to render
                    nbs, # The notebooks as written
                    git # Address of the repository's files
    ):
    "Write the pages of the reference; return where each name stands, from the top of the site."
    folder = proc/FOLDER
    folder.mkdir()
    mods = reading_order(nbs)
    every = [(m, o) for m in mods for o in public(m)]
    names = Counter(o.__qualname__ for _, o in every)
    once = {o.__qualname__: address(m, o) for m, o in every if names[o.__qualname__] == 1}
    for m in mods:
        (folder/f'{short(m)}.qmd').write_text(module_page(m, nbs, git, once), encoding='utf-8')
    (folder/'index.qmd').write_text(index_page(mods), encoding='utf-8')
    return {f'{short(m)}.{o.__qualname__}': address(m, o) for m, o in every}


# ---- The way through them

PARTS = {'': 'The method', 'custom_pipeline': 'For diffusers', 'lab': 'Laboratory', 'app': 'App', 'world': 'The model'}


def modules_list(mods, here # The module of the page, or None
    ):
    "The modules as a list for the sidebar, by part of the package; the part of this page is open."
    def part(m): return m.rpartition('.')[0]
    def item(m):
        active = ' active" aria-current="page' if m == here else ''
        return f'<li><a class="sidebar-item-text sidebar-link{active}" href="{m}.html">{m.split(".")[-1]}</a></li>'
    def group(name, told):
        items = ''.join(item(m) for m in mods if part(m) == name)
        shown = ' open' if part(here or '') == name else ''
        return f'<details{shown}><summary>{told}</summary><ul class="list-unstyled">{items}</ul></details>'
    return f'<li class="modules">{"".join(group(*o) for o in PARTS.items())}</li>'


def add_modules(docs, # The rendered site
                places # From `write_reference`
    ):
    "The sidebar of the reference leads to every module."
    mods = list(dict.fromkeys(re.match(rf'{FOLDER}/(.*)\.html', place)[1] for place in places.values()))
    for p in (docs/FOLDER).glob('*.html'):
        html = p.read_text(encoding='utf-8')
        here = p.stem if p.stem in mods else None
        def with_list(m): return (m[0].replace(' active', '') if here else m[0]) + modules_list(mods, here)
        names = r'sidebar-link[^>]*><span class="menu-text">All names</span></a></div></li>'
        p.write_text(re.sub(names, with_list, html, count=1), encoding='utf-8')
