"What a function refuses: the errors that it and the checks at its door raise, read from the code."
import ast, inspect, re
from dataclasses import is_dataclass
from textwrap import dedent


def told(node # What an error is given
    ):
    "The text of a message, with … for what is filled in; '' if it is no text."
    if isinstance(node, ast.Constant): return node.value if isinstance(node.value, str) else ''
    if isinstance(node, ast.JoinedStr): return ''.join(told(part) or '…' for part in node.values)
    if isinstance(node, ast.BinOp): return told(node.left) + (told(node.right) or '…')
    return ''


def calls(fn):
    "The calls and the `raise`s of a function, in the order of the code."
    tree = ast.parse(dedent(inspect.getsource(fn)))
    nodes = (n.exc if isinstance(n, ast.Raise) else n for n in ast.walk(tree) if isinstance(n, (ast.Raise, ast.Call)))
    seen = {id(n): n for n in nodes if isinstance(n, ast.Call)}
    return sorted(seen.values(), key=lambda n: (n.lineno, n.col_offset))


def promised(fn):
    "(error, when) of a function whose docstring begins with what it raises; or None."
    found = re.match(r'Raise `(\w+)`,? ?(.*)', inspect.getdoc(fn) or '', re.S)
    return found and (found[1], found[2].rstrip('.'))


def raised(sym,   # A function or class
           within=() # Those that are being read
    ):
    "(error, when) of everything that `sym` raises itself, and of the checks that it calls."
    begins = '__post_init__' if is_dataclass(sym) else '__init__'
    fn = inspect.unwrap(vars(sym).get(begins) if inspect.isclass(sym) else sym)
    if not inspect.isfunction(fn) or fn in within: return []
    known, out = inspect.getclosurevars(fn).globals, []
    for call in calls(fn):
        name = call.func.id if isinstance(call.func, ast.Name) else ''
        called = inspect.unwrap(known.get(name)) if inspect.isfunction(known.get(name)) else None
        if name == 'check': out.append(('ValueError', told(call.args[1])))
        elif name.endswith(('Error', 'Exception')) and call.args: out.append((name, told(call.args[0])))
        elif called and name.startswith('check_') and (given := [t for a in call.args[1:] if ': ' in (t := told(a))]):
            out += [('ValueError', text) for text in given]
        elif called and called.__module__ == fn.__module__ and name.startswith(('_', 'check_')):
            out += raised(called, (*within, fn)) or [promised(called) or ('', '')]
        elif called and (said := promised(called)): out.append((said[0], f'{said[1]} (`{name}`)'))
    return list(dict.fromkeys((error, when) for error, when in out if when))
