"Examples that stand alone: those written in examples.md, and those cut out of the notebooks with all that they need."
import ast, builtins, re
from functools import cache
from pathlib import Path

LINES = 12  # of an example
IMPORTS = (ast.Import, ast.ImportFrom)


@cache
def written():
    "The examples of examples.md, by name."
    text = Path(__file__).with_suffix('.md').read_text(encoding='utf-8')
    return dict(re.findall(r'^## ([\w.]+)\n```python\n(.*?)\n```$', text, re.M | re.S))


def used(node): return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def made(node # A statement
    ):
    "The names that it gives a value."
    if isinstance(node, IMPORTS): return {a.asname or a.name.split('.')[0] for a in node.names} - {'*'}
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)): return {node.name}
    inner = {n.name for n in ast.walk(node) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    return inner | {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def imported(node, names):
    "The part of an import that brings `names`."
    kept = [a for a in node.names if (a.asname or a.name.split('.')[0]) in names]
    return ast.unparse(ast.ImportFrom(node.module, kept, 0) if isinstance(node, ast.ImportFrom) else ast.Import(kept))


def alone(use,   # The code that is to be shown
          before, # The code of the cells before it: (exported?, code)
          homes  # From name to the module that offers it
    ):
    "`use` with what it needs: imports, and the statements that make its names. None if that is too long."
    tree = ast.parse(use)
    need = used(tree) - set().union(*map(made, tree.body))
    imports, steps = [], []
    statements = [(out, node, code) for out, code in before for node in ast.parse(code).body]
    for out, node, code in reversed(statements):
        got = made(node) & need
        whole = isinstance(node, IMPORTS)
        if not got or (out and not whole) or (whole and got <= homes.keys()): continue
        (imports if whole else steps).append(imported(node, got) if whole else ast.get_source_segment(code, node))
        need = (need - made(node)) | (set() if whole else used(node))
    need -= set(dir(builtins))
    if not need <= homes.keys(): return None
    ours = {}
    for name in sorted(need): ours.setdefault(homes[name], []).append(name)
    head = [*reversed(imports), *(f'from {mod} import {", ".join(names)}' for mod, names in sorted(ours.items()))]
    lines = '\n'.join([*dict.fromkeys(head), '', *reversed(steps), use])
    return lines if lines.count('\n') < LINES + len(head) else None
