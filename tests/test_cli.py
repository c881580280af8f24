"The commands: what they refuse, in one line and before a model is loaded; how they end; what odd prompts and files do."
import io, json, os, shutil, signal, subprocess, sys, time
from pathlib import Path

import pytest
import torch
from conftest import TORTURE
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from nulltext_nb import cli
from nulltext_nb.cli import nulltext_bench, nulltext_demo, nulltext_edit, nulltext_invert, run_command, what_to_say
from nulltext_nb.editing import edit, invert
from nulltext_nb.pipeline import embed, random_pipe
from nulltext_nb.store import Inversion, check_settings

COMMANDS = dict(invert=nulltext_invert, edit=nulltext_edit, demo=nulltext_demo, bench=nulltext_bench)
SECONDS = 2  # of computing, in which a call refuses what it can without a model
SHARE = 1.3  # of the computing that importing torch takes, in which a command does, imports included


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "A folder with a picture, a tiny model and an inversion by it."
    folder, pipe = tmp_path_factory.mktemp('made'), random_pipe()
    Image.effect_noise((64, 80), 80).convert('RGB').save(folder/'in.png')
    pipe.save_pretrained(folder/'model')
    invert(pipe, folder/'in.png', 'a cat, on grass', T=2, progress=False).save(folder/'a.safetensors')
    (folder/'text.png').write_text('hello')
    (folder/'pie').mkdir()
    (folder/'pie'/'mapping_file.json').write_text('[]')
    (folder/'empty').mkdir()
    return folder


@pytest.fixture
def run(capfd, made, tmp_path, monkeypatch):
    "Run a command in a copy of what is `made`; gives its status and the lines it wrote to stderr."
    for o in made.iterdir(): (tmp_path/o.name).symlink_to(o) if o.is_dir() else shutil.copy(o, tmp_path)
    monkeypatch.chdir(tmp_path)
    def _run(command, *argv):
        capfd.readouterr()
        try: status = command([*argv])
        except SystemExit as e: status = e.code
        err = capfd.readouterr().err
        assert 'Traceback' not in err and 'nobody foresaw' not in err
        return status, [l for l in err.splitlines() if l.strip()]
    return _run


# ---- Bad arguments

LONG, BYTES = 'a'*200_000, 'a caf\udce9'  # the second is what Python makes of a byte that is no UTF-8
I, E, D = 'invert', 'edit', 'demo'
USAGE = [  # command, its arguments, what is said of them
    (I, '', 'required: image, caption'), (I, 'in.png', 'required: caption'), (E, 'a.safetensors', 'required: caption'),
    ('bench', '', 'required: NAME'), ('bench', 'cook', "invalid choice: 'cook'"), (D, 'here', 'unrecognized arguments'),
    (I, 'in.png cat --solver fast', "'fast' is called 'residual' now"), ('bench', 'pie --method nulltext_fast', 'now'),
    (I, 'in.png cat --solver slow', "'slow' is not known: use one of residual"),
    (I, 'in.png cat --fit squeeze', 'squeeze'),
    *((I, f'in.png cat --T {T}', '--T') for T in ('0', '-1', '1000', '1.5', 'ten', '1e3', 'nan', '9'*50)),
    *((I, f'in.png cat --w {w}', '--w') for w in ('0', '1', '-7.5', 'nan', 'inf', '1e39', '101', 'much')),
    *((I, f'in.png cat --size {s}', '--size') for s in ('64', '64 x', '64.5 64')),
    *((I, f'in.png cat --device {d}', '--device') for d in (
        'meta', 'mps', 'xpu', 'cuda', 'cuda:99', 'cpu:7', 'abacus', 'hpu', 'vulkan', 'cuda:x', 'xla', 'privateuseone')),
    *((I, f'in.png cat --dtype {d}', '--dtype') for d in ('float64', 'int8', 'half', 'save')),
    *((I, f'in.png cat --model {m}', '--model') for m in (
        './none', 'none', 'none.safetensors', 'empty', '/no/such', 'a/b/c')),
    (E, 'a.safetensors cat --kind paint', "'paint' is not known: use one of replace, refine"),
    (E, 'a.safetensors cat --tau-cross x', "invalid float value: 'x'"), (E, 'a.safetensors cat --T 5', '--T 5'),
    (E, 'a.safetensors cat --weight red', 'expected 2 arguments'), (E, 'a.safetensors cat --blend', 'at least one'),
    (E, 'a.safetensors cat --hold x', "invalid float value: 'x'"), (E, 'a.safetensors cat --seed -1', '--seed'),
    *((E, f'a.safetensors cat --{k} 2', f'--{k}: 2.0 is no share') for k in ('renew', 'settle', 'hold', 'against')),
    (E, 'a.safetensors cat --device meta', 'no meta device'), (D, '--w 0', '--w'), (D, '--w-edit 1e39', '--w-edit'),
    (D, '--T 0', '--T'), (D, '--solver slow', 'slow'), (D, '--device xpu', 'xpu'), (D, '--model ./none', '--model'),
    ('bench', 'race --w 0', '--w'), ('bench', 'race --n 0', '--n'), ('bench', 'race --T 0', '--T'),
    ('bench', 'race --seed -1', '--seed'), ('bench', 'race --device xpu', 'xpu'), ('bench', 'race --n two', '--n'),
    ('bench', 'edit --w 0', '--w'), ('bench', 'edit --methods magic', 'magic'), ('bench', 'edit --only x', "'x'"),
    ('bench', 'edit --knobs-of magic', 'magic'), ('bench', 'ablation --counts 1 0', '--counts'),
    ('bench', 'ablation --edit-at 0', '--edit-at'), ('bench', 'ablation --w 1', '--w'), ('bench', 'model --T 5', '--T'),
    ('bench', 'pie --method magic', 'magic'), ('bench', 'pie --mode fast', 'fast'), ('bench', 'pie --p2p x', '--p2p'),
    ('bench', 'pie --columns psnr beauty', 'beauty'), ('bench', 'pie --data empty', 'does not exist'),
    ('bench', 'pie --data pie', 'not a mapping'), ('bench', 'pie --n 0', '--n'), ('bench', 'pie --w 0', '--w')]
REFUSED = [
    (I, ['none.png', 'a cat'], 'none.png does not exist'), (I, ['text.png', 'a cat'], 'not a picture'),
    (I, ['.', 'a cat'], 'is a folder'), (I, ['/dev/zero', 'a cat'], 'no ordinary file'),
    (I, ['in.png', ''], 'prompt is empty'), (I, ['in.png', '  '], 'prompt is empty'), (I, ['in.png', BYTES], 'UTF-8'),
    (I, ['in.png', LONG], 'has 200000 characters'),
    (I, ['in.png', 'a cat', '-o', '.'], 'is a folder'), (I, ['in.png', 'a cat', '-o', 'in.png'], 'work reads, too'),
    (I, ['in.png', 'a cat', '-o', 'in.png/x'], 'cannot be written'),
    (I, ['in.png', 'a cat', '-o', '/dev/full'], 'no ordinary file'),
    (I, ['in.png', 'a cat', '--size', '0', '0'], 'the size is (0, 0)'),
    (I, ['in.png', 'a cat', '--size', '9999', '64'], 'the size is (9999, 64)'), (I, [LONG, 'a cat'], 'cannot be read'),
    (I, ['\udce9.png', 'a cat'], r'\udce9.png does not exist'),
    (E, ['none', 'a dog'], 'none does not exist'), (E, ['in.png', 'a dog'], 'in.png'), (E, ['.', 'a dog'], '.'),
    (E, ['a.safetensors', ''], 'prompt is empty'), (E, ['a.safetensors', BYTES], 'UTF-8'),
    (E, ['a.safetensors', 'a dog', '-o', 'x.doc'], 'x.doc does not end like a picture'),
    (E, ['a.safetensors', 'a dog', '-o', '.'], 'is a folder'),
    (E, ['a.safetensors', 'a dog', '-o', 'a.safetensors'], 'work reads, too'),
    (E, ['a.safetensors', 'a dog', '-o', 'in.png', '--mask', 'in.png'], 'work reads, too'),
    (E, ['a.safetensors', 'a dog', '-o', 'in.png/x.png'], 'cannot be written'),
    (E, ['a.safetensors', 'a dog', '--blend', 'tiger', 'dog'], "'tiger' is not in the prompt 'a cat, on grass'; its"),
    (E, ['a.safetensors', 'a dog', '--blend', 'cat', 'tiger'], 'its words are: a, dog'),
    (E, ['a.safetensors', 'a dog', '--blend', 'a', 'b', 'c'], 'use a word, or a pair'),
    (E, ['a.safetensors', 'a dog', '--blend', '', ''], 'empty words'),
    (E, ['a.safetensors', 'a dog', '--blend', BYTES], 'UTF-8'),
    (E, ['a.safetensors', 'a dog', '--weight', 'cat', '2'], 'its words are: a, dog'),
    (E, ['a.safetensors', 'a dog', '--weight', 'dog', 'much'], 'dog much'),
    *((E, ['a.safetensors', 'a dog', '--weight', 'dog', x], 'the weight of') for x in ('1e39', 'nan', 'inf', '-101')),
    (E, ['a.safetensors', 'a dog', '--weight', BYTES, '2'], 'UTF-8'),
    (E, ['a.safetensors', LONG], 'has 200000 characters'),
    (E, ['a.safetensors', LONG[:9000], '--weight', 'tiger', '2'], "'tiger'"),
    (E, ['a.safetensors', 'a dog', '--tau-cross', '2'], 'tau_cross is 2.0'),
    (E, ['a.safetensors', 'a dog', '--tau-self', 'nan'], 'tau_self is nan'),
    (E, ['a.safetensors', 'a dog', '--threshold', '0'], 'belong to blend'),
    (E, ['a.safetensors', 'a dog', '--blend', 'cat', '--threshold', '0'], 'threshold is 0.0'),
    (E, ['a.safetensors', 'a dog', '--auto', '--blend', 'cat', 'dog'], 'auto chooses inside a region'),
    (E, ['a.safetensors', 'a dog', '--auto', '--seed', '1'], 'auto chooses the seed'),
    (E, ['a.safetensors', 'a dog', '--renew', '0', '--region', 'all'], "['renew'] belong to a region"),
    (E, ['a.safetensors', 'a dog', '--mask', 'none.png'], 'none.png does not exist'),
    (E, ['a.safetensors', 'a dog', '--mask', 'text.png'], 'not a picture'),
    (D, ['--out', 'in.png'], 'cannot be written'), (D, ['--out', 'in.png/x'], 'cannot be written'),
    ('bench', ['race', '--json', 'x.sqlite'], 'ends like the database'), ('bench', ['race', '--json', '.'], 'a folder'),
    ('bench', ['race', '--json', 'in.png/x.json'], 'cannot be written'),
    ('bench', ['pie', '--out', 'in.png'], 'cannot be written')]
CASES = [(c, argv.split(), 2, said) for c, argv, said in USAGE] + [(c, argv, 1, said) for c, argv, said in REFUSED]


def test_there_are_many_cases(): assert len(CASES) >= 80


def case(command, argv, *_): return f'{command} {ascii(" ".join(argv))[1:60]}'


@pytest.mark.parametrize('command, argv, status, said', CASES, ids=[case(*c) for c in CASES])
def test_bad_arguments_are_refused_before_anything_is_loaded(run, monkeypatch, command, argv, status, said):
    def loaded(*_, **__): raise AssertionError('a model was loaded')
    monkeypatch.setattr('nulltext_nb.pipeline._load', loaded)
    before = sorted(Path().iterdir())
    start = time.process_time()
    got, lines = run(COMMANDS[command], *argv)
    assert time.process_time() - start < SECONDS
    assert got == status and len(lines) == 1 and said in lines[0], lines
    assert lines[0].startswith(f'nulltext_{command}') and len(lines[0]) < 600 and lines[0].isprintable()
    assert sorted(Path().iterdir()) == before


def test_commands_are_refused_in_time(made):
    "In a fresh process, with little more computing than importing torch takes; a second try, if the machine is busy."
    command = 'import sys; from nulltext_nb.cli import nulltext_invert; sys.exit(nulltext_invert())'
    def seconds(argv, status, said, code=command):
        start = os.times()
        res = subprocess.run([sys.executable, '-c', code, *argv], cwd=made, capture_output=True, text=True)
        end = os.times()
        assert res.returncode == status and said in res.stderr
        return end.children_user + end.children_system - start.children_user - start.children_system
    wrong, missing = (['in.png', 'a cat', '--w', '0'], 2, '--w'), (['none.png', 'a cat'], 1, 'none.png')
    for case in wrong, missing, (['--help'], 0, ''):
        assert any(seconds(*case) < SHARE*seconds([], 0, '', 'import torch') for _ in range(2))


# ---- Folders of models

def folder_with(model, path, data):
    (model/path).parent.mkdir(exist_ok=True)
    (model/path).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())


def index(**kw):
    "A list of a model's parts, changed."
    def change(model):
        parts = json.loads((model/'model_index.json').read_text())
        folder_with(model, 'model_index.json', parts | kw)
    return change


def config(part, **kw):
    "The settings of a part, changed."
    def change(model):
        file = next((model/part).glob('*config.json'))
        file.write_text(json.dumps(json.loads(file.read_text()) | kw))
    return change


def cut(path, n):
    def change(model): (model/path).write_bytes((model/path).read_bytes()[:n])
    return change


def put(path, data):
    def change(model): folder_with(model, path, data)
    return change


UNET = 'unet/diffusion_pytorch_model.safetensors'
ODD = {
    'cut weights': cut(UNET, 5000), 'cut header': cut(UNET, 4), 'no weights': cut(UNET, 0), 'text': put(UNET, b'hello'),
    'index of nothing': put('model_index.json', b''), 'index of numbers': put('model_index.json', [1, 2]),
    'deep index': put('model_index.json', b'['*10**5), 'cut index': cut('model_index.json', 40),
    'code from elsewhere': index(feature_extractor=['antigravity', 'Popen']),
    'no class': index(tokenizer=['transformers', 'NoSuch']),
    'config of a list': put('unet/config.json', [1]), 'bytes as config': put('unet/config.json', b'\xff\xfe\x00'),
    'odd vocabulary': put('tokenizer/tokenizer.json', {'a': 1}),
    'other width': config('unet', cross_attention_dim=24), 'other layers': config('unet', block_out_channels=[32]),
    'layers of text': config('unet', block_out_channels='many'),
    'no such block': config('unet', down_block_types=['X']),
    'text width': config('text_encoder', hidden_size=7), 'steps of text': config('scheduler', beta_start='x')}


@pytest.mark.parametrize('name', ODD)
def test_odd_folders_of_models_are_refused(run, made, tmp_path, name):
    shutil.copytree(made/'model', tmp_path/'odd')
    ODD[name](tmp_path/'odd')
    status, lines = run(nulltext_invert, 'in.png', 'a cat', '--T', '1', '--model', 'odd', '--quiet')
    assert status in (1, 2) and len(lines) == 1 and len(lines[0]) < 600, lines
    assert 'antigravity' not in sys.modules and not (tmp_path/'inversion.safetensors').exists()


def test_parts_come_from_known_libraries_and_fit_each_other(run, made, tmp_path):
    other = shutil.copytree(made/'model', tmp_path/'other')
    index(feature_extractor=['antigravity', 'Popen'])(other)
    narrow = shutil.copytree(made/'model', tmp_path/'narrow')
    shutil.rmtree(narrow/'unet')
    random_pipe(width=24).unet.save_pretrained(narrow/'unet')
    for folder, said in ((other, 'come from antigravity'), (narrow, 'not a text-to-image pipeline')):
        status, lines = run(nulltext_invert, 'in.png', 'a cat', '--T', '1', '--model', str(folder))
        assert status == 1 and len(lines) == 1 and said in lines[0], lines


def test_a_model_that_is_not_there(run, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    status, lines = run(nulltext_invert, 'in.png', 'a cat', '--model', 'no/such-model')
    assert status == 1 and len(lines) == 1 and 'no/such-model' in lines[0] and 'needs no download' in lines[0]


# ---- How a command ends

def ended(error, monkeypatch, stream=None):
    "The status of a command whose work raises `error`, if any, and prints to `stream`."
    def work():
        print('16×16')
        if error: raise error
    if stream: monkeypatch.setattr(sys, 'stdout', stream)
    return run_command(nulltext_demo, [], work, [])


@pytest.mark.parametrize('error, status, said', [
    (None, 0, ''), (ValueError('a\nb'), 1, 'nulltext_demo: a b\n'),
    (KeyboardInterrupt(), 130, 'nulltext_demo: stopped\n'), (BrokenPipeError(), 141, ''),
    (MemoryError(), 1, 'not enough memory'), (OSError(28, 'No space left'), 1, 'No space'),
    (ZeroDivisionError('x'), 1, 'nulltext_demo: x'),
    (KeyError('x'), 1, "KeyError, which nobody foresaw: 'x'; NULLTEXT_TRACE")])
def test_every_end_has_its_status(error, status, said, monkeypatch, capsys):
    assert ended(error, monkeypatch) == status
    err = capsys.readouterr().err
    assert said in err and err.count('\n') == bool(said)


def test_what_nobody_foresaw_can_be_traced(monkeypatch):
    monkeypatch.setenv('NULLTEXT_TRACE', '1')
    with pytest.raises(KeyError): ended(KeyError('x'), monkeypatch)


def test_a_full_memory_is_called_so():
    with pytest.raises(RuntimeError) as e: torch.empty(2**50)
    assert what_to_say(e.value) == (1, what_to_say(MemoryError())[1])


def test_a_terminal_without_the_letter_is_no_failure(monkeypatch):
    raw = io.BytesIO()
    assert ended(None, monkeypatch, io.TextIOWrapper(raw, 'ascii')) == 0
    assert raw.getvalue() == b'16\\xd716\n'


CLI = [sys.executable, '-c', 'import sys; from nulltext_nb import cli; sys.exit(getattr(cli, sys.argv.pop(1))())']


SAY = 'import sys; from nulltext_nb.cli import *; sys.exit(run_command(nulltext_demo, [], lambda: print("x"), []))'


def test_a_reader_that_has_gone_and_a_disk_that_is_full():
    "Neither leaves a traceback; the second is said."
    read, write = os.pipe()
    os.close(read)
    with open('/dev/full', 'w') as full:
        for out, codes, lines in ((write, (141, 0), 0), (full, (1,), 1)):
            res = subprocess.run([sys.executable, '-c', SAY], stdout=out, stderr=subprocess.PIPE, text=True)
            assert res.returncode in codes and res.stderr.count('\n') == lines and 'Exception' not in res.stderr
    os.close(write)


def heed_ctrl_c(): signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it


MOMENTS = ['_multiarray', 'libtorch_cpu'] + TORTURE*['safetensors']


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='the moment is found in /proc')
@pytest.mark.parametrize('moment', MOMENTS)
def test_ctrl_c_at_any_moment(made, moment):
    "Also while PyTorch is being imported: the moment is when a library of that name has been mapped."
    argv = [*CLI, 'nulltext_invert', 'in.png', 'a cat', '--T', '900', '-o', 'never.safetensors', '--quiet']
    p = subprocess.Popen(argv, cwd=made, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)
    while moment not in Path(f'/proc/{p.pid}/maps').read_text(): time.sleep(0.005)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate()
    assert p.returncode == 130 and err == 'nulltext_invert: stopped\n' and not (made/'never.safetensors').exists()


def test_the_knobs_of_an_edit_reach_it(run):
    "Those of the region, and that nothing is restored."
    knobs = dict(seed=3, renew=0.2, settle=0.5, hold=0.5, against=0.2)
    argv = [x for k, v in knobs.items() for x in (f'--{k}', str(v))] + ['--no-restore', '--model', 'model', '--quiet']
    assert run(nulltext_edit, 'a.safetensors', 'a dog, on grass', *argv)[0] == 0
    theirs = edit(random_pipe(), 'a.safetensors', 'a dog, on grass', restore=False, progress=False, **knobs)
    assert Image.open('edited.png').tobytes() == theirs.tobytes()


def test_long_prompts_make_short_notes(run):
    with pytest.warns(UserWarning, match='cut off') as said: embed(random_pipe(), 'a '*4500)
    assert len(str(said[0].message)) < 300
    status, lines = run(nulltext_invert, 'in.png', 'a '*4500, '--T', '1', '--model', 'model', '--quiet')
    assert status == 0 and any('cut off' in l for l in lines) and max(map(len, lines)) < 600


def test_a_large_scale_is_remarked_on_once(run):
    status, lines = run(nulltext_invert, 'in.png', 'a cat', '--T', '1', '--w', '20', '--model', 'model', '--quiet')
    assert status == 0 and len([l for l in lines if l.startswith('note: the guidance scale is 20: above')]) == 1


def test_figures_are_kept_before_they_are_shown(run, monkeypatch):
    "A table that cannot be shown costs no figures."
    def gone(_): raise BrokenPipeError
    def measure(pipe, file=None, progress=True):
        "Measure."
        return dict(a=1)
    monkeypatch.setattr(cli, 'benchmarks', lambda: dict(race=(measure, gone)))
    assert run(nulltext_bench, 'race', '--json', 'r.json', '--model', 'model')[0] == 141
    assert json.loads(Path('r.json').read_text()) == dict(a=1)


# ---- Odd prompts and files

PROMPTS = {  # prompt: what is said of it
    'a  cat   on grass': '', 'a cat, on grass!': '', 'a zebra on grass': '', '猫 на траве': '', '🐈': '',
    'cat ' * 50: 'cut off'}


@pytest.mark.parametrize('prompt', PROMPTS)
def test_odd_prompts_are_handled(run, prompt):
    status, lines = run(nulltext_invert, 'in.png', prompt, '--T', '1', '--model', 'model', '--quiet')
    lines = [l for l in lines if 'safety checker' not in l]
    assert status == 0
    assert any(PROMPTS[prompt] in l for l in lines) if PROMPTS[prompt] else not lines


def test_damaged_inversions_are_refused(run, tmp_path):
    data = (tmp_path/'a.safetensors').read_bytes()
    spoilt = {'cut': data[:-50], 'head': data[:100], 'bit': data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
              'prompt': data.replace(b'a cat, on', b'a dog, on'), 'none': b''}
    for name, b in spoilt.items():
        (tmp_path/name).write_bytes(b)
        status, lines = run(nulltext_edit, name, 'a dog')
        assert status == 1 and len(lines) == 1 and name in lines[0], (name, lines)


def test_inversions_of_other_settings_are_refused(run, tmp_path):
    other = random_pipe(seed=1)
    other.save_pretrained(tmp_path/'other')
    status, lines = run(nulltext_edit, 'a.safetensors', 'a dog, on grass', '--model', 'other')
    assert status == 1 and 'made with model' in lines[-1]
    with safe_open(tmp_path/'a.safetensors', 'pt') as f:
        header, path, phis = f.metadata(), f.get_tensor('path'), f.get_tensor('phis')
    wide = path.reshape(*path.shape[:3], path.shape[-2]//2, 2*path.shape[-1])
    for odd in (path[:2], wide):  # fewer steps, another size
        save_file(dict(path=odd, phis=phis), tmp_path/'odd.safetensors', header)
        status, lines = run(nulltext_edit, 'odd.safetensors', 'a dog')
        assert status == 1 and len(lines) == 1 and 'odd.safetensors' in lines[0]
    pipe, inv = random_pipe(), Inversion.load(tmp_path/'a.safetensors')
    for name, value in (('T', 50), ('w', 3.), ('size', (128, 64))):
        with pytest.raises(ValueError, match=f'made with {name} = '): check_settings(pipe, inv, **{name: value})
    for word, value in (('num_inference_steps', 50), ('guidance_scale', 3.)):
        with pytest.raises(ValueError, match=f'{word} was settled'): edit(pipe, inv, 'a dog', **{word: value})
