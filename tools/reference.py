"""The reference: a page for each module, from the code's docments, and an index of all names.

smalldocs writes the entries: signature, docstring, table of parameters. Added here are the source, folded, an example
from the notebooks, and the pages that use the name.
"""
import ast, inspect, json, re
from functools import cache
from itertools import groupby
from textwrap import dedent

from smalldocs.api import cell, entry, line_of, methods, own, package_modules, summary

FOLDER = 'api'
WIDTH = 44  # columns of a signature on one line, which a phone has room for
EXAMPLE = 9  # lines of an example


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


def shown_use(text, name):
    "Does a cell with the code `text` show how `name` is called, and nothing else to learn?"
    if len(text.split('\n')) > EXAMPLE or re.search(r'\b(test_\w+|expect_fail|assert|def|class)\b', text): return False
    calls = (n.func for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call))
    return any(name == getattr(f, 'id', getattr(f, 'attr', None)) for f in calls)


def example(name, module, nbs):
    "The first short cell that calls `name`, of its own page if there is one."
    pages = sorted(lessons(nbs).values(), key=lambda page: page[1] != module)
    uses = (text for _, _, cells in pages for out, text, names in cells if not out and name in names)
    return next((u for u in uses if shown_use(u, name)), None)


def used_on(name, module, nbs):
    "Links to the pages, other than the module's own, whose code uses `name`."
    pages = [(page, title) for page, (title, mod, cells) in lessons(nbs).items()
             if mod != module and any(name in names for _, _, names in cells)]
    return ', '.join(f'[{title}](/{page}.html)' for page, title in pages)


# ---- One entry

def wrapped(code # A signature in one line
    ):
    "A long signature with a line for each parameter."
    if len(code) <= WIDTH: return code
    head, rest = code.split('(', 1)
    inner, tail = rest.rsplit(')', 1) if ' -> ' not in rest else re.match(r'(.*)\)( -> .*)$', rest).groups()
    parts, depth = [''], 0
    for ch in inner:
        depth += (ch in '([{') - (ch in ')]}')
        if ch == ',' and not depth: parts.append('')
        else: parts[-1] += ch
    return f'{head}(\n' + ''.join(f'    {p.strip()},\n' for p in parts) + f'){tail}'


def fold(code): return f'<details class="code-fold"><summary>Source</summary>\n\n```python\n{code}\n```\n\n</details>'


def described(sym, # A function, class or method
              level, # Of its heading
              mod, # Its module
              nbs, # Folder of the notebooks
              git # Address of the repository's files
    ):
    "Everything about `sym` as Markdown."
    name = sym.__qualname__
    last = name.split('.')[-1]
    body = entry(sym, level).partition('\n')[2].strip()
    body = re.sub(r'(?<=```python\n)(.*)(?=\n```)', lambda m: wrapped(m[1]), body, count=1)
    body = re.sub(r'^(\| `\w+` \|) None \|', r'\1 |', body, flags=re.M)  # not a type: what is there by default
    body = re.sub(r'^(\| (?:`\w+`|returns) \| )((?:\\\||[^|])+?)( \| )', r'\1`\2`\3', body, flags=re.M)  # the type
    file = mod.__name__.replace('.', '/')
    link = f'<a class="source" href="{git}/{file}.py#L{line_of(sym)}">source</a>'
    parts = [link, f'{"#"*level} {name} {{#{name}}}', body]
    if used := example(last, short(mod), nbs): parts.append(f'<p class="label">Example</p>\n\n```python\n{used}\n```')
    if pages := used_on(last, short(mod), nbs): parts.append(f'<p class="label">Used on</p>\n\n{pages}')
    return '\n\n'.join([*parts, fold(dedent(inspect.getsource(sym)).strip())])


def by_use(mod, nbs):
    "The names of a module: those that most pages use first; and those that no page uses, where a good part is used."
    pages = {o: used_on(o.__name__, short(mod), nbs).count('](') for o in own(mod)}
    called = [o for o in pages if pages[o] or example(o.__name__, short(mod), nbs)]
    if 4*len(called) < len(pages): return [*pages], []  # the commands, which no page calls as functions
    return sorted(called, key=lambda o: -pages[o]), [o for o in pages if o not in called]


def module_page(mod, nbs, git):
    "The page of one module."
    lesson = next((f'[All names](/{FOLDER}/index.qmd) · explained step by step on the page [{title}](/{page}.html).'
                   for page, (title, module, _) in lessons(nbs).items() if module == short(mod)), '')
    used, internal = by_use(mod, nbs)
    def entry_of(o, level): return described(o, level + o.__qualname__.count('.'), mod, nbs, git)
    def entries(tops, level): return [entry_of(o, level) for top in tops for o in with_methods(top)]
    parts = entries(used, 2)
    if internal: parts += ['## Internals {#internals}', 'No other page calls these.', *entries(internal, 3)]
    front = f'---\ntitle: {mod.__name__}\nsubtitle: {json.dumps(summary(mod))}\ntoc-depth: 2\n---'
    return '\n\n'.join([front, lesson, *parts]) + '\n'


# ---- All of them

def index_page(mods # In reading order
    ):
    "Every module with its names, and every name from A to Z."
    def link(o): return f'[`{o.__qualname__}`](/{FOLDER}/{short(inspect.getmodule(o))}.qmd#{o.__qualname__})'
    def row(m): return f'| [`{short(m)}`](/{FOLDER}/{short(m)}.qmd) | {cell(summary(m))} |'
    def names(m):
        n = len(own(m))
        return f'<details><summary>{n} name{"s"*(n > 1)}</summary>{" ".join(map(link, own(m)))}</details>'
    rows = [f'{row(m)} {names(m)} |' for m in mods]
    every = sorted((o for m in mods for o in own(m)), key=lambda o: o.__qualname__.lower())
    def told(o): return f'| {link(o)} | {cell(summary(o))} | `{short(inspect.getmodule(o))}` |'
    head = '| Name | What it does | Module |\n| --- | --- | --- |\n'
    def letter(first, group):
        table = head + '\n'.join(map(told, group))
        return f'<details>\n<summary>{first} · {len(group)}</summary>\n\n{table}\n\n</details>'
    front = '---\ntitle: All names\nsubtitle: What the package offers, from its docstrings\n---'
    modules = '\n'.join(['| Module | What it is for | Names |', '| --- | --- | --- |', *rows])
    groups = groupby(every, lambda o: o.__qualname__[0].upper())
    a_to_z = '\n\n'.join(letter(first, [*group]) for first, group in groups)
    return f'{front}\n\n## Modules\n\n{modules}\n\n## From A to Z\n\n{a_to_z}\n'


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
    for m in mods:
        (folder/f'{short(m)}.qmd').write_text(module_page(m, nbs, git), encoding='utf-8')
    (folder/'index.qmd').write_text(index_page(mods), encoding='utf-8')
    pairs = ((short(m), o.__qualname__) for m in mods for o in public(m))
    return {f'{m}.{name}': f'{FOLDER}/{m}.html#{name}' for m, name in pairs}
