"How the code reads: public functions say what they take and give, and none is long. Lines are left to ruff."
import ast, io, tokenize
from statistics import median

import pytest
from conftest import ROOT

MODULES = [p for p in sorted((ROOT/'nulltext_nb').rglob('*.py')) if p.name not in ('__init__.py', '_modidx.py')]
pytestmark = pytest.mark.quick

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def module_name(file): return file.relative_to(ROOT/'nulltext_nb').with_suffix('').as_posix()


each_module = pytest.mark.parametrize('file', MODULES, ids=module_name)


def read(file): return file.read_text(encoding='utf-8')


def commented(source):
    "The lines of `source` that have a comment."
    return {t.start[0] for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT}


METHODS = {c.name: {o.name for o in c.body if isinstance(o, FUNCTIONS)}
           for p in MODULES for c in ast.parse(read(p)).body if isinstance(c, ast.ClassDef)}


def inherits(cls, name):
    "Does a class from which `cls` is made say what the method `name` is? Of classes from elsewhere we suppose so."
    bases = [ast.unparse(b).split('.')[-1] for b in cls.bases]
    return any(name in METHODS.get(b, {name}) for b in bases)


def public(tree):
    "Functions and classes that a module offers, and its classes' own methods, by name."
    for node in tree.body:
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)) or node.name.startswith('_'): continue
        yield node.name, node
        if not isinstance(node, ast.ClassDef): continue
        methods = [o for o in node.body if isinstance(o, FUNCTIONS) and not o.name.startswith('_')]
        yield from ((f'{node.name}.{o.name}', o) for o in methods if not inherits(node, o.name))


def parameters(node):
    "What the caller gives: not `self`, nor what it is patched to."
    a = node.args
    every = [*a.posonlyargs, *a.args, *([a.vararg] if a.vararg else []), *a.kwonlyargs, *([a.kwarg] if a.kwarg else [])]
    return [o for o in every if o.arg not in ('self', 'cls')]


def own(node):
    "The nodes of a function, without those of functions in it."
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (*FUNCTIONS, ast.Lambda)): yield from own(child)


def gives(node):
    "Does the function return or yield anything?"
    return any(isinstance(o, (ast.Yield, ast.YieldFrom)) or isinstance(o, ast.Return) and o.value for o in own(node))


def says_what_it_gives(node, comments):
    "Is there an annotation of the result, or a comment between the last parameter and the body?"
    last = max([o.end_lineno for o in parameters(node)], default=node.lineno - 1)
    return node.returns is not None or bool(comments & set(range(last + 1, node.body[0].lineno)))


def missing(name, node, comments):
    "What `node` does not say of itself."
    if not ast.get_docstring(node): yield f'{name}: no docstring'
    if isinstance(node, ast.ClassDef): return
    params = parameters(node)
    ends = [o.end_lineno for o in params]
    alone = {o.arg for o, nxt in zip(params, [*params[1:], None]) if nxt is None or nxt.lineno > o.end_lineno}
    yield from (f'{name}: {o.arg}' for o, n in zip(params, ends) if n not in comments or o.arg not in alone)
    simple = '.' in name and not params  # a property or a method that takes nothing says it in its docstring
    if gives(node) and not simple and not says_what_it_gives(node, comments): yield f'{name}: what it gives'


@each_module
def test_public_functions_say_what_they_take_and_give(file):
    source = read(file)
    comments = commented(source)
    assert not [m for name, node in public(ast.parse(source)) for m in missing(name, node, comments)]


def body_lines(node):
    "How many lines a function has below its signature and docstring."
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return node.end_lineno - body[0].lineno + 1


def test_functions_are_short():
    every = [(p, n) for p in MODULES for n in ast.walk(ast.parse(read(p))) if isinstance(n, FUNCTIONS)]
    lines = {f'{module_name(p)}.{n.name}': body_lines(n) for p, n in every}
    assert not {k: n for k, n in lines.items() if n > 30}
    assert median(lines.values()) <= 6
