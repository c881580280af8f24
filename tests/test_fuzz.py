"Inversion files from strangers, signed anew: each is refused with its name and the reason, or is an inversion."
import hashlib, json, math, resource, struct, time
from dataclasses import replace

import pytest
import torch
from conftest import MANY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save

from nulltext_nb import methods
from nulltext_nb.editing import edit, invert
from nulltext_nb.pipeline import random_pipe
from nulltext_nb.prompt2prompt import WALKS
from nulltext_nb.store import SAMPLERS, Inversion, check_settings

NEW, OLD = 'nulltext_nb inversion 2', 'nulltext_nb inversion 1'
SECONDS, BYTES = 2, 1e9  # that no file may exceed when it is read
T, PROMPT = 3, 'a cat on grass'
PIPE = random_pipe()
PHOTO = Image.radial_gradient('L').convert('RGB').resize((64, 64))
WAYS = dict(residual=invert, prompt=methods.proximal, ddpm=methods.ddpm, edict=methods.edict)
QUIET = dict(progress=False)
fuzz = settings(max_examples=MANY['inversions'], derandomize=True, deadline=None, database=None,
                suppress_health_check=list(HealthCheck))


def of(inv):
    "Settings and tensors as a file holds them."
    names = ('prompt', 'w', 'T', 'size', 'model', 'scheduler', 'sampler', 'start', 'prox')
    meta = json.loads(json.dumps({k: getattr(inv, k) for k in names}))
    return meta, {k: getattr(inv, k) for k in ('path', 'phis', 'extra') if getattr(inv, k) is not None}


GOOD = {name: of(way(PIPE, PHOTO, PROMPT, T=T, w=3., **(QUIET if way is invert else {}))) for name, way in WAYS.items()}


def signature(text, tensors):
    "The checksum, as anybody can compute it; of what is no JSON there is none."
    try: meta = json.loads(text)
    except (ValueError, RecursionError): return '0'*64
    shapes = [(name, list(x.shape), str(x.dtype)) for name, x in sorted(tensors.items())]
    try: h = hashlib.sha256(json.dumps([meta, shapes], sort_keys=True).encode())
    except RecursionError: return '0'*64
    for _, x in sorted(tensors.items()): h.update(x.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()


def signed(meta, tensors, header=None):
    "The bytes of a file whose checksum fits; `meta` may be text."
    text = meta if isinstance(meta, str) else json.dumps(meta)
    fields = dict(format=NEW, meta=text, digest=signature(text, tensors)) | (header or {})
    return save({k: x.contiguous() for k, x in tensors.items()}, {k: x for k, x in fields.items() if x is not None})


# ---- What strangers change

NUMBERS = st.sampled_from([0, 1, -1, T-1, T, T+1, 2, 0.5, 1.0, 7.5, 100, 101, 1e3, 1e30, 1e308, 10**30, -0.0, 5e-324,
                           math.nan, math.inf, -math.inf]) | st.integers() | st.floats()
ODD = ['', ' ', 'a', 'ddim', 'ddpm', 'edict', 'euler', 'l0', 'l1', '../x', 'x'*20_000, '\ud800', 'a\0b', '\x1b[31m',
       '0'*16, 'f'*15, '猫 на траве', 'scaled_linear', 'linear', 'v_prediction']
TEXTS = st.sampled_from(ODD) | st.text(max_size=20)
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(PLAIN, lambda o: st.lists(o, max_size=3) | st.dictionaries(TEXTS, o, max_size=3), max_leaves=5)
DTYPES = [getattr(torch, o) for o in ('float16', 'bfloat16', 'float64', 'int8', 'int32', 'int64', 'uint8', 'bool',
                                      'float8_e4m3fn', 'float8_e5m2')]


def change_setting(data, meta, tensors, header):
    meta[data.draw(st.sampled_from([*meta]))] = data.draw(VALUES)


def change_within(data, meta, tensors, header):
    "Values that can be: what is made of them is to be edited."
    can = dict(w=st.floats(0, 100), start=st.integers(0, T-1), prompt=st.text(min_size=1, max_size=90),
               prox=st.none() | st.tuples(st.sampled_from(['l0', 'l1']), st.floats(0, 1)).map(list))
    name = data.draw(st.sampled_from([*can]))
    meta[name] = data.draw(can[name])


def change_schedule(data, meta, tensors, header):
    if isinstance(meta.get('scheduler'), dict) and meta['scheduler']:
        meta['scheduler'] = dict(meta['scheduler'])
        meta['scheduler'][data.draw(st.sampled_from([*meta['scheduler']]))] = data.draw(VALUES)


def drop_setting(data, meta, tensors, header):
    if meta: del meta[data.draw(st.sampled_from([*meta]))]


def add_setting(data, meta, tensors, header):
    meta[data.draw(TEXTS)] = data.draw(VALUES)


def change_header(data, meta, tensors, header):
    value = st.sampled_from([OLD, 'nulltext_nb inversion 3', 'pt', '', '{}', '[]', 'null', None]) | st.text(max_size=9)
    header[data.draw(st.sampled_from(['format', 'meta', 'digest', 'more']))] = data.draw(value)


def nest(data, meta, tensors, header):
    "Settings as deep as no program likes them."
    n = data.draw(st.sampled_from([5, 500, 900, 990, 1000, 5000, 90_000]))
    deep, name = '['*n + ']'*n, data.draw(st.sampled_from([*meta] or ['prompt']))
    header['deep'] = json.dumps(meta | {name: 0}).replace(f'"{name}": 0', f'"{name}": {deep}')


def some(data, tensors): return data.draw(st.sampled_from([*tensors])) if tensors else None


def reshape(data, meta, tensors, header):
    if (k := some(data, tensors)) is None: return
    x = tensors[k]
    ways = [x.flatten(), x[None], x.unsqueeze(-1), x.expand(3, *x.shape), x.new_zeros(()),
            x.new_zeros((1,)*data.draw(st.integers(0, 9))),
            x.new_zeros(data.draw(st.lists(st.integers(0, 7), max_size=6)))]
    if x.ndim: ways += [x[:1], x[:0], x[1:], torch.cat([x, x[:1]]), x[..., :1], x[..., :0], x.repeat_interleave(2, -1)]
    if x.ndim > 1: ways += [x.transpose(0, -1), x.transpose(-2, -1), x.flatten(-2)]
    tensors[k] = data.draw(st.sampled_from(ways))


def resize(data, meta, tensors, header):
    "Other sizes that fit each other, and mostly the model."
    few = st.integers(1, 12)
    t, h, w = [data.draw(few) for _ in range(3)]
    c, n, d = [data.draw(st.just(x) | st.just(x) | few) for x in (4, *GOOD['residual'][1]['phis'].shape[-2:])]
    k = 2 if meta.get('sampler') == 'edict' else 1
    for name, shape in dict(path=(t+1, k, c, h, w), phis=(t, 1, n, d), extra=(t, 1, c, h, w)).items():
        if name in tensors: tensors[name] = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    meta |= dict(T=t, size=[h, w])


def cast(data, meta, tensors, header):
    if k := some(data, tensors): tensors[k] = tensors[k].to(data.draw(st.sampled_from(DTYPES)))


def change_numbers(data, meta, tensors, header):
    if (k := some(data, tensors)) is None or not tensors[k].numel() or not tensors[k].dtype.is_floating_point: return
    value = data.draw(st.sampled_from([0., -0., 1e-45, 1., 1e3, 1e19, 3e38, math.nan, math.inf, -math.inf]))
    x = tensors[k].float()
    one = x.clone().flatten()
    one[data.draw(st.integers(0, len(one)-1))] = value
    tensors[k] = data.draw(st.sampled_from([one.view(x.shape), x*value, torch.full_like(x, value), x.flip(0)])
                           ).to(tensors[k].dtype)


def drop_tensor(data, meta, tensors, header):
    if k := some(data, tensors): del tensors[k]


def add_tensor(data, meta, tensors, header):
    name = data.draw(st.sampled_from(['extra', 'more', 'path ', '__class__']) | st.text(max_size=5))
    x = data.draw(st.sampled_from([torch.zeros(2), torch.zeros(()), *tensors.values()]))
    if name != '__metadata__': tensors[name] = x.clone()


ANY = [change_setting, change_schedule, drop_setting, add_setting, change_header, nest, reshape, cast, change_numbers,
       drop_tensor, add_tensor]
FITTING = [change_within, resize, change_numbers]


@st.composite
def files(draw):
    "A good file, changed in one to three ways, and signed anew."
    data = draw(st.data())
    meta, tensors = GOOD[draw(st.sampled_from([*GOOD]))]
    meta, tensors, header = dict(meta), dict(tensors), {}
    changes = draw(st.sampled_from([ANY, ANY, FITTING, ANY + FITTING]))
    for change in draw(st.lists(st.sampled_from(changes), min_size=1, max_size=3)): change(data, meta, tensors, header)
    text = header.pop('deep', None)
    return signed(text or meta, tensors, header)


# ---- What must become of them

def read(file):
    "The inversion in `file`, or the reason why not, in bounded time."
    start = time.process_time()
    try: inv = Inversion.load(file)
    except ValueError as e: inv = str(e)
    assert time.process_time() - start < SECONDS
    return inv


def check_refusal(said, file):
    assert said.startswith(f'{file} ') and '\n' not in said and len(said) < 2000 and said.isprintable(), said


def check_inversion(inv):
    "Well-formed, by another way to say it."
    (n, k, c, h, w), d = inv.path.shape, inv.phis.shape
    assert n == inv.T + 1 >= 2 and k == (2 if inv.sampler == 'edict' else 1) and min(c, h, w) > 0
    assert d in ((inv.T, 1, *d[-2:]), (1, *d[-2:])) and inv.size == (h, w)
    assert inv.extra is None or inv.extra.shape == (inv.T, 1, c, h, w)
    assert all(torch.isfinite(x).all() and x.dtype == torch.float32 for x in vars(inv).values() if torch.is_tensor(x))
    assert type(inv.prompt) is str and inv.prompt.strip() and len(inv.prompt) <= 10_000 and inv.prompt.encode()
    assert 0 <= inv.w <= 100 and type(inv.start) is int and 0 <= inv.start < inv.T and inv.sampler in WALKS
    assert inv.prox is None or inv.prox[0] in ('l0', 'l1') and 0 <= inv.prox[1] <= 1
    assert len(inv.model) == 16 and set(inv.model) <= set('0123456789abcdef')
    assert repr(inv).isprintable()


def try_edit(inv):
    "An edit, or one line that says why not; nothing else may be raised."
    try: z = edit(PIPE, inv, 'a dog on grass', output_type='latent', progress=False)
    except (ValueError, FloatingPointError) as e: return str(e)
    assert torch.isfinite(z).all()


def check_file(file, data):
    file.write_bytes(data)
    found = read(file)
    if isinstance(found, str): return check_refusal(found, file)
    check_inversion(found)
    try_edit(found)


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    "A place for one file after the other; what all of them took of memory is looked at in the end."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield tmp_path_factory.mktemp('fuzz')/'a.safetensors'
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)*1024 < BYTES


@pytest.mark.parametrize('name', GOOD)
def test_what_is_signed_here_is_a_file(name, file):
    "Our way to sign is the project's, or the tests below would test the checksum only."
    file.write_bytes(signed(*GOOD[name]))
    inv = Inversion.load(file)
    check_inversion(inv)
    assert try_edit(inv) is None and of(inv)[0] == GOOD[name][0]
    inv.save(file)
    with safe_open(file, 'pt') as f: assert f.metadata()['digest'] == signature(f.metadata()['meta'], GOOD[name][1])


def test_the_old_format_is_read(file):
    meta, tensors = GOOD['prompt']
    meta = {k: meta[k] for k in ('prompt', 'w', 'T', 'size', 'model', 'scheduler')}
    file.write_bytes(signed(meta, tensors, dict(format=OLD)))
    inv = Inversion.load(file)
    assert (inv.sampler, inv.start, inv.prox, inv.extra) == ('ddim', 0, None, None)
    assert try_edit(inv) is None
    for changed in (meta | dict(start=1), GOOD['prompt'][0]):
        file.write_bytes(signed(changed, tensors, dict(format=OLD)))
        assert 'the settings of one are prompt, w, T, size, model, scheduler' in read(file)


def test_the_kinds_of_step_are_known_to_all(): assert set(WALKS) == set(SAMPLERS)


WRONG = [  # what, by which name it is refused
    (dict(start=T), 'start is 3'), (dict(start=-1), 'start is -1'), (dict(start=1.0), 'start is 1.0'),
    (dict(start=True), 'start is True'), (dict(T=T+1), 'T is 4'), (dict(size=[8, 9]), 'size is'),
    (dict(w=math.nan), 'w is nan'), (dict(w=1e30), 'w is 1e'), (dict(w='3'), "w is '3'"), (dict(w=-1), 'w is -1'),
    (dict(sampler='euler'), "sampler is 'euler'"), (dict(sampler='edict'), 'path is'), (dict(sampler=[]), 'sampler is'),
    (dict(prox=['l2', 0.5]), 'prox is'), (dict(prox=['l0', 2]), 'prox is'), (dict(prox='l0'), 'prox is'),
    (dict(model='x'*16), 'model is'), (dict(model=None), 'model is'), (dict(scheduler={}), 'scheduler is'),
    (dict(prompt=''), 'prompt is'), (dict(prompt=5), 'prompt is 5'), (dict(prompt='\ud800'), 'prompt is'),
    (dict(prompt='x'*10_001), 'prompt is')]


@pytest.mark.parametrize('change, said', WRONG)
def test_wrong_settings_are_refused_by_name(change, said, file):
    meta, tensors = GOOD['prompt']
    file.write_bytes(signed(meta | change, tensors))
    why = read(file)
    check_refusal(why, file)
    assert said in why


@pytest.mark.parametrize('name, change, said', [
    ('prompt', lambda x: x | dict(path=x['path'].half()), 'in 32 bits'),
    ('prompt', lambda x: x | dict(path=x['path'][:, 0]), 'path is'),
    ('prompt', lambda x: x | dict(phis=x['phis'][..., 0]), 'phis is'),
    ('prompt', lambda x: x | dict(phis=x['phis'].repeat(2, 1, 1)), 'phis is'),
    ('prompt', lambda x: x | dict(phis=x['phis']/0), 'phis holds NaN'),
    ('prompt', lambda x: x | dict(more=x['phis'].clone()), 'tensors of one'),
    ('prompt', lambda x: dict(path=x['path']), 'tensors of one'),
    ('residual', lambda x: x | dict(extra=x['extra'][1:]), 'extra is'),
    ('ddpm', lambda x: {k: x[k] for k in ('path', 'phis')}, 'extra is')])
def test_wrong_tensors_are_refused_by_name(name, change, said, file):
    meta, tensors = GOOD[name]
    file.write_bytes(signed(meta, change(dict(tensors))))
    why = read(file)
    check_refusal(why, file)
    assert said in why


META, TENSORS = GOOD['prompt']
HEAD = signed(META, TENSORS)[:8]


@pytest.mark.parametrize('data, said', [
    *[(signed({k: x for k, x in META.items() if k != gone}, TENSORS), 'the settings of one') for gone in META],
    *[(signed(meta, TENSORS), 'the settings of one') for meta in ([], 5, '"text"', [*META], {})],
    (signed(META | dict(more=1), TENSORS), 'the settings of one'),
    (signed(META, TENSORS, dict(digest='0'*64)), 'checksum does not fit'),
    (signed(META, TENSORS, dict(digest=None)), 'checksum does not fit'),
    (signed(META, TENSORS, dict(more='x')), 'checksum does not fit'),
    (signed('null', TENSORS), 'checksum does not fit'),
    (signed('{', TENSORS), 'checksum does not fit'),
    (signed(META, TENSORS, dict(format='a\n\x1b[31mb'*99)), 'not an inversion of this version'),
    (signed(META, TENSORS, dict(format=None)), 'no format given'),
    (signed(META, TENSORS).replace(b'"F32"', b'"\\u001b\\n"'), 'cannot be read'),
    (b'', 'cannot be read'), (HEAD, 'cannot be read'), (b'hello', 'cannot be read')])
def test_what_is_no_inversion_is_called_so(data, said, file):
    file.write_bytes(data)
    why = read(file)
    check_refusal(why, file)
    assert said in why


def test_what_could_not_be_read_is_not_written(file):
    "Better said while the inversion is in memory than when it is wanted again."
    meta, tensors = GOOD['prompt']
    good = Inversion(**tensors, **{k: x for k, x in meta.items() if k not in ('T', 'size')})
    file.write_bytes(b'old')
    for change in (dict(w=1e6), dict(sampler='mine'), dict(start=T), dict(prompt=' '), dict(phis=tensors['phis'][0])):
        with pytest.raises(ValueError, match=f'cannot hold this inversion: {[*change][0]} is'):
            replace(good, **change).save(file)
    with pytest.raises(FloatingPointError): replace(good, path=tensors['path']/0).save(file)
    assert file.read_bytes() == b'old'
    back = Inversion.load(replace(good, prox=('l1', 0.5)).save(file))
    assert back.prox == ('l1', 0.5) and torch.equal(back.path, good.path)


def test_sizes_are_looked_at_before_anything_is_read(file):
    "A file of 100 GB and a header of 10 take no time and no memory."
    data = signed(*GOOD['residual'])
    file.write_bytes(data)
    with open(file, 'r+b') as f: f.truncate(10**11)
    assert 'MB are too many' in read(file)
    file.write_bytes(struct.pack('<Q', 10**10) + data[8:])
    assert 'a header of 10000000000 bytes' in read(file)


def test_what_the_model_cannot_use_is_refused_before_any_work(file):
    meta, tensors = GOOD['residual']
    path, extra = [tensors[k] for k in ('path', 'extra')]
    more = dict(channels=dict(path=path.repeat(1, 1, 2, 1, 1), extra=extra.repeat(1, 1, 2, 1, 1)),
                tokens=dict(phis=tensors['phis'][:, :-1]), width=dict(phis=tensors['phis'][..., :-1]))
    for name, change in more.items():
        file.write_bytes(signed(meta, tensors | change))
        with pytest.raises(ValueError, match=f'made with {name} = '): check_settings(PIPE, Inversion.load(file))


@fuzz
@given(data=files())
def test_any_file_that_is_signed_anew(data, file): check_file(file, data)


@fuzz
@given(name=st.sampled_from([*GOOD]), data=st.data())
def test_any_damage(name, data, file):
    "Bytes changed, cut, put in and doubled: nothing is read but what was written."
    good = bytearray(signed(*GOOD[name]))
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, 900) | st.integers(0, len(good)))
        j = i + data.draw(st.integers(0, 9))
        twice, one = st.just(bytes(good[i:j])*2), st.sampled_from([b'"', b'9', b'\xff', b'}'])
        good[i:j] = data.draw(st.binary(max_size=9) | twice | one)
    file.write_bytes(good)
    found = read(file)
    if isinstance(found, str): return check_refusal(found, file)
    meta, tensors = of(found)
    assert meta == GOOD[name][0] and all(torch.equal(x, GOOD[name][1][k]) for k, x in tensors.items())
