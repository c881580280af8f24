"What a function refuses: the errors that it and the checks at its door raise, read from the code."
import ast, inspect, re
from dataclasses import is_dataclass
from functools import cache
from textwrap import dedent


def told(node # What an error is given
    ):
    "The text of a message, with … for what is filled in; '' if it is no text."
    if isinstance(node, ast.Constant): return node.value if isinstance(node.value, str) else ''
    if isinstance(node, ast.JoinedStr): return ''.join(told(part) or '…' for part in node.values)
    if isinstance(node, ast.BinOp): return told(node.left) + (told(node.right) or '…')
    return ''


@cache
def calls(fn):
    "What a function calls, raises or hands on, as nodes in the order of the code."
    nodes = [*ast.walk(ast.parse(dedent(inspect.getsource(fn))))]
    named = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    used = [n for n in nodes if isinstance(n, ast.Call) or isinstance(n, ast.Name) and id(n) not in named]
    return sorted(used, key=lambda n: (n.lineno, n.col_offset))


def promised(fn):
    "(error, when) of a function whose docstring begins with what it raises; or None."
    found = re.match(r'Raise `(\w+)`,? ?(.*)', inspect.getdoc(fn) or '', re.S)
    return found and (found[1], found[2].rstrip('.'))


def code_of(x # A function, or a class, which is called
    ):
    "The function of this package that runs when `x` is called, or None."
    begins = '__post_init__' if is_dataclass(x) else '__init__'
    fn = inspect.unwrap(vars(x).get(begins) if inspect.isclass(x) else x)
    return fn if inspect.isfunction(fn) and fn.__module__.startswith('nulltext_nb') else None


def raised(sym,   # A function or class
           within=() # Those that are being read
    ):
    "(error, when, module) of everything that `sym` raises, and what it calls and hands arguments on to."
    fn = code_of(sym)
    if fn is None or fn in within: return []
    known, home, out = inspect.getclosurevars(fn).globals, fn.__module__, []
    for node in calls(fn):
        is_call = isinstance(node, ast.Call)
        args, func = (node.args, node.func) if is_call else ([], node)
        name = func.id if isinstance(func, ast.Name) else ''
        called = known.get(name)
        if not callable(called) or inspect.isclass(called) and not is_call or not code_of(called): called = None
        if is_call and name == 'check': out.append(('ValueError', told(args[1]), home))
        elif args and name.endswith(('Error', 'Exception')): out.append((name, told(args[0]), home))
        elif called and name.startswith('check_') and (given := [t for a in args[1:] if ': ' in (t := told(a))]):
            out += [('ValueError', text, home) for text in given]
        elif called and (said := promised(called)) and name[0] != '_':
            out.append((said[0], f'{said[1]} (`{name}`)', home))
        elif called and (found := raised(called, (*within, fn))): out += found
        elif called and (said := promised(called)): out.append((*said, home))
    if passed_on := getattr(fn, '__delwrap__', None): out += raised(passed_on, (*within, fn))
    return list(dict.fromkeys((error, when, where) for error, when, where in out if when))
