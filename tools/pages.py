"What the site shows of a notebook."
import ast, json, re

from stored import note, old_parts

DEFS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


# ---- Notebooks, between nbdev's processing and rendering

def src(cell): return ''.join(cell['source'])


def mk_code(source, cell_id):
    meta = {'language': 'python'}
    return dict(cell_type='code', execution_count=None, id=cell_id, metadata=meta, outputs=[], source=source)


def doc_name(node):
    "The name under which nbdev documents `node`; None for what it passes over. A patch belongs to its class."
    if not isinstance(node, DEFS) or node.name.startswith('_'): return None
    patch = any(re.match(r'patch\b', ast.unparse(d)) for d in node.decorator_list)
    return f'{ast.unparse(node.args.args[0].annotation)}.{node.name}' if patch else node.name


def pieces(source # Of an exported cell
    ):
    "`source` cut before each public definition: (name or None, lines); what stands between goes with what follows."
    lines, out, start = source.split('\n'), [], 0
    for node in ast.parse(source).body:
        if not (name := doc_name(node)): continue
        out.append((name, '\n'.join(lines[start:node.end_lineno]).strip('\n')))
        start = node.end_lineno
    rest = '\n'.join(lines[start:]).strip('\n')
    if rest and out: out[-1] = (out[-1][0], f'{out[-1][1]}\n\n{rest}')
    return out or [(None, rest)]


def tell_code(nb,  # The notebook as processed by nbdev: exported cells are gone, their signatures stand in their place
              raw, # The notebook as written
              refer # From the name of what it exports to its address in the reference, or None
    ):
    "Show exported code in full: these pages teach it. Its heading, its links and its anchor stay."
    def is_doc(c): return re.search(r'^show_doc\((.*)\)', src(c), re.M)
    docs = {m[1]: c for c in nb['cells'] if (m := is_doc(c))}
    kept = [c for c in nb['cells'] if not is_doc(c)]
    place, have = {}, {c['id'] for c in kept}
    def exported(c): return c['cell_type'] == 'code' and re.search(r'^#\|\s*exporti?\b', src(c), re.M)
    for i, c in enumerate(raw['cells']):
        if not exported(c): continue
        before = next((o['id'] for o in raw['cells'][i+1:] if o['id'] in have), None)
        code = re.sub(r'^#\|.*\n?', '', src(c), flags=re.M).strip('\n')
        if all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(code).body): continue
        if summary := folds(src(c)):
            names = [name for name, _ in pieces(code) if docs.pop(name, None)]
            place.setdefault(before, []).append(folded(code, names, summary, c['id']))
            continue
        for j, (name, text) in enumerate(pieces(code)):
            if name in docs: place.setdefault(before, []).append(with_code(docs.pop(name), text, refer(name)))
            else: place.setdefault(before, []).append(mk_code(text, f'{c["id"]}{j}'))
    placed = [o for c in kept for o in (*place.pop(c['id'], []), c)]
    nb['cells'] = placed + [o for cs in place.values() for o in cs] + list(docs.values())


def folds(source # Of a cell
    ):
    "The line behind which an exported cell is folded away: `#| fold A LINE`, or None."
    said = re.search(r'^#\|\s*fold\b[ ]*(.*)$', source, re.M)
    return said and (said[1].strip() or 'Code')


def folded(code, names, summary, cell_id):
    "A cell with `code` behind one line, which has the anchors of the `names` that it defines."
    anchors = ''.join(f'<span id="{name.lower()}"></span>' for name in names)
    shown = f'<summary>{anchors}{summary}</summary>\n\n```python\n{code}\n```\n\n'
    return dict(cell_type='markdown', id=cell_id, metadata={}, source=f'<details class="code-fold">{shown}</details>')


def with_code(cell, code, reference=None):
    "nbdev's documentation `cell`, the code itself in place of the signature."
    head = ''.join(cell['outputs'][0]['data']['text/markdown'])
    link, title = re.search(r'^\[source\]\(([^)]*)\)', head, re.M), re.search(r'^#+ .*', head, re.M)[0]
    links = {'reference': reference, 'source': link and link[1]}
    text = ' · '.join(f'<a href="{href}">{name}</a>' for name, href in links.items() if href)
    cell['outputs'][0]['data'] = {'text/markdown': f'<p class="source">{text}</p>\n\n{title}\n\n```python\n{code}\n```'}
    return cell


def doors(text):
    "The Colab badge as two links, without the picture that it would fetch; with a link that stands beside it."
    def links(m):
        nb = re.sub(r'^https://colab\.research\.google\.com/github/', 'https://github.com/', m[1])
        def link(href, icon, words):
            return f'<a href="{href}"><i class="bi bi-{icon}" aria-hidden="true"></i> {words}</a>'
        colab, github = link(m[1], 'play-circle', 'Open in Colab'), link(nb, 'journal-code', 'Notebook on GitHub')
        beside = ' ' + link(m[3], 'image', m[2]) if m[2] else ''
        return f'<p class="doors">{colab} {github}{beside}</p>'
    return re.sub(r'\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)(?: \[([^]]*)\]\(([^)]*)\))?', links, text)


def unnest(text):
    "`text` without the links that nbdev puts around code: those inside another link, and those to private names."
    inner = r'\[(`[^`\n]*`)\]\([^()\s]*\)'
    def bare(m): return '[' + re.sub(inner, r'\1', m[1]) + f']({m[3]})'
    text = re.sub(rf'\[((?:[^\[\]\n]|{inner})*)\]\(([^()\s]*)\)', bare, text)
    return re.sub(r'\[(`_\w*`)\]\([^()\s]*\)', r'\1', text)


def fold_imports(cell):
    "Put a cell that only imports behind one line."
    code = src(cell)
    if cell['cell_type'] != 'code' or re.search(r'^\s*[!%#]', code, re.M): return
    body = ast.parse(code).body
    if body and all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in body):
        cell['source'] = f'#| code-fold: true\n#| code-summary: "Imports"\n{code}'


def for_colab(cell): return cell['cell_type'] == 'code' and '/content ]' in src(cell)


def module_of(raw):
    "The module that a notebook writes, or None."
    found = (re.search(r'^#\|\s*default_exp (\S+)', src(c), re.M) for c in raw['cells'])
    return next((m[1] for m in found if m), None)


def say_old(nb, parts):
    "Put the sentence on stored numbers, of which `parts` are old, behind the page's first words."
    where = next(i for i, c in enumerate(nb['cells']) if c['cell_type'] == 'markdown' and 'colab-badge' in src(c))
    nb['cells'].insert(where + 1, dict(cell_type='markdown', id='stored', metadata={}, source=note(parts)))


def prepare(proc, # nbdev's processed notebooks
            nbs, # The notebooks as written
            places, # Where the reference has each name, from the top of the site
            model # The fingerprint of the package's model
    ):
    "Turn processed notebooks into pages to read."
    for p in proc.rglob('*.ipynb'):
        nb, raw = [json.loads(f.read_text(encoding='utf-8')) for f in (p, nbs/p.relative_to(proc))]
        up, module = '../'*len(p.relative_to(proc).parent.parts), module_of(raw)
        def refer(name): return up + places[key] if (key := f'{module}.{name}') in places else None
        tell_code(nb, raw, refer)
        if parts := old_parts(raw, p.relative_to(proc).with_suffix('').as_posix(), model): say_old(nb, parts)
        nb['cells'] = [c for c in nb['cells'] if not for_colab(c)]
        for c in nb['cells']:
            if c['cell_type'] == 'markdown': c['source'] = doors(unnest(src(c)))
            fold_imports(c)
        p.write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')
