"""A type, and of a tensor the shape, for every argument and result of the reference.

Annotations come first. What the code leaves to its reader has the same name and the same type everywhere: the tables.
"""
import inspect, re

from smalldocs.api import EMPTY, safe_docments, type_text

TENSOR = 'Tensor'
CALLED = 'Callable'
PICTURE = 'Image | str | Path'
FILE = 'str | Path'
USUAL = dict(  # what an argument of this name is, unless its annotation says otherwise
    pipe='StableDiffusionPipeline', tok='CLIPTokenizer', inv='Inversion', image=PICTURE, photo=PICTURE, im='Image',
    images='list[Image]', pictures='list[Image]', edited='Image', plain='Image', path=PICTURE, file=FILE, folder=FILE,
    out=FILE, data=FILE, resume=FILE, id_or_path=FILE, glyph=FILE, cb='Callable[[Step], None]', noise=CALLED,
    fn=CALLED, do=CALLED, work=CALLED, use=CALLED, then=CALLED, make=CALLED, measure=CALLED, score=CALLED, aim=CALLED,
    loss=CALLED, command=CALLED, waiting=CALLED, invert=CALLED, options='list[Callable]', control='Control',
    controls='list[Control]', size='int | tuple[int, int]', hw='tuple[int, int]', device='str | torch.device',
    dtype='str | torch.dtype', sched='DDIMScheduler', layer='Layer', attn='Attention', net='nn.Module',
    vit='nn.Module', model='onnx.ModelProto', region='str | list[str] | Image', words='str | list[str]',
    blend='str | tuple[str, str]', prompts='str | list[str]', caption='str | list[str]', solver='str | Preset',
    titles='list[str]', labels='list[str]', rows='list', cols='list', names='list[str]', methods='list[str]',
    artists='list[str]', proposed='list[str]', given='list[str]', argv='list[str]', groups='list', scenes='list[Scene]',
    things='list[tuple]', values='list[float]', readings='list[dict]', pairs='list[tuple[int, int]]', name='str',
    method='str', metric='str', message='str', scene='Scene', param='inspect.Parameter', i='int', n='int', t='int',
    phis=f'{TENSOR} | list[{TENSOR}]', extra=f'{TENSOR} | float', value='tuple | dict', what='str | Thing',
    also=TENSOR, abar_t=TENSOR, abar_s=TENSOR, z=TENSOR, z_t=TENSOR, ids=TENSOR, avg=TENSOR, new=TENSOR,
    colour='ndarray', maps=f'list[{TENSOR}]', mask=f'Image | ndarray | {TENSOR}', x='Any', ok='bool',
    meta='dict', p2p='dict', needed='str', special='dict', start='dict', told='list[str]',
    figs='list[Figure]', ax='Axes'
    ) | {'ControlProcessor.plain': 'AttentionProcessor'}
WIDER = {'region', 'size', 'photo', 'solver', 'blend', 'mask'}  # annotated with what a command takes, no more
SHAPES = dict(  # of a tensor of this name, where the words beside it leave it out
    pivots='(T+1,b,c,h,w)', path='(T+1,b,c,h,w)', z0='(b,c,h,w)', z_t='(b,c,h,w)', z_T='(b,c,h,w)', z='(m,c,h,w)',
    z_bar='(b,c,h,w)', eps='(b,c,h,w)', eps_u='(b,c,h,w)', eps_c='(b,c,h,w)', noise='(b,c,h,w)', cond='(b,n,d)',
    null='(1,n,d)', phi='(1,n,d)', phis='(T,1,n,d)', abar='(1000,)', abar_t='()', abar_s='()', maps='(k,hw,n)',
    mask='(h,w)', also='(h,w)', extra='(T,1,c,h,w)', ids='(b,n)', x='of any shape',
    like='(b,c,h,w)', there='(k,m,c,h,w)')
LETTERS = ('`b` pictures of a batch · `m` edits · `c` channels, `h` `w` height and width of a latent · `H` `W` of a '
           'picture in pixels · `n` tokens of a text, `d` the width of each · `k` heads of attention · `T` steps')


SHAPE = r'\((?:[\w+*]+,)+[\w+*]*\)'
WORDS = {  # the type that the beginning of what stands beside a name means
    r'Yields ': 'context manager', r'(Called |From .* to |Any function|The same, which)': CALLED, r'HTML': 'HTML',
    r'(A |The )?(PIL )?(picture|image)\b': 'Image', r'`\w+` PIL images': 'list[Image]',
    r'Tensor': f'{TENSOR} | ndarray',
    r'(Image or array|Colour|Another|The same size|What `a`)': 'ndarray', r'A list': 'list'}


def from_words(told # What stands beside a name
    ):
    "The type that the words mean, or ''."
    said = next((kind for start, kind in WORDS.items() if re.match(start, told, re.I)), '')
    named = re.match(r'(?:An? |The )?(?:frozen |same )?`([A-Z]\w+)`', told)
    return said or (named[1] if named else '')


def shape_of(name, kind, told):
    "The shape of a tensor, or ''."
    if TENSOR not in kind: return ''
    said = re.search(SHAPE, told)
    return said[0] if said else SHAPES.get(name, '')


def result_of(source # Of a function
    ):
    "What stands beside the closing bracket of the arguments."
    found = re.search(r'^\s*\)\s*(?:->[^#\n]*)?:\s*# (.*)$', source, re.M)
    return found[1] if found else ''


def typed(sym, # A function or class
          mod # Its module
    ):
    "Of every argument, and of 'return': (type, shape, default or EMPTY, words), by name."
    kinds, out = inspect.signature(sym).parameters, {}
    for name, d in safe_docments(sym).items():
        if name in ('self', 'cls'): continue
        told = d.docment or ''
        if name == 'return' and not inspect.isclass(sym): told = told or result_of(inspect.getsource(sym))
        known = d.anno not in (EMPTY, None, type(None), 'None')
        kind = type_text(d.anno, mod) if known else None
        if name in kinds and kinds[name].kind is inspect.Parameter.VAR_KEYWORD: kind = 'keywords'
        if name == 'return': kind = kind or from_words(told) or ''
        elif not kind: kind = USUAL.get(f'{sym.__qualname__}.{name}') or USUAL.get(name) or from_words(told) or 'Any'
        if name in WIDER and kind in ('str', 'tuple', 'Image'): kind = USUAL[name]
        if kind == 'str' and re.search(r'\bor a list\b|; a list for', told): kind += ' | list[str]'
        if d.default is None and kind and not kind.endswith('None'): kind += ' | None'
        out[name] = kind, shape_of(name, kind, told), d.default, told
    return out
