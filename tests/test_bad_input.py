"What people really bring: every odd file and prompt goes through the commands, and is handled, or refused in one line."
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from nulltext_nb.cli import nulltext_demo, nulltext_edit, nulltext_invert
from nulltext_nb.editing import edit
from nulltext_nb.pipeline import load_pipe, random_pipe
from nulltext_nb.store import Inversion, check_settings

RGB = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 64, 3), np.uint8))


PROMPTS = {  # prompt: what is said of it
    'a  cat   on grass': '', 'a cat, on grass!': '', 'a zebra on grass': '', '猫 на траве': '', '🐈': '',
    'cat ' * 50: 'cut off'}


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    "Run a command with few steps in an empty folder; gives its status and the lines it wrote to stderr."
    monkeypatch.chdir(tmp_path)
    def _run(command, *argv):
        capfd.readouterr()
        status = command([*argv, '--quiet'])
        err = capfd.readouterr().err
        assert 'Traceback' not in err
        return status, [l for l in err.splitlines() if l.strip()]
    return _run


@pytest.mark.parametrize('prompt', PROMPTS)
def test_odd_prompts_are_handled(run, tmp_path, prompt):
    RGB.save('in.png')
    status, lines = run(nulltext_invert, 'in.png', prompt, '--T', '1')
    assert status == 0
    assert any(PROMPTS[prompt] in l for l in lines) if PROMPTS[prompt] else not lines


@pytest.fixture
def inverted(run, tmp_path):
    RGB.save(tmp_path/'in.png')
    assert run(nulltext_invert, 'in.png', 'a cat, on grass', '-o', 'a.safetensors', '--T', '2')[0] == 0
    return tmp_path/'a.safetensors'


@pytest.mark.parametrize('options, said', [
    (['a dog', '--blend', 'tiger', 'dog'],
     "'tiger' is not in the prompt 'a cat, on grass'; its words are: a, cat, ,, on, grass"),
    (['a dog', '--blend', 'cat', 'tiger'], 'its words are: a, dog'),
    (['a dog', '--blend', 'a', 'b', 'c'], 'use a word, or a pair'),
    (['a dog', '--weight', 'cat', '2'], 'its words are: a, dog'),
    (['a dog', '--weight', 'dog', 'much'], 'dog much'),
    (['a dog', '--tau-cross', '2'], 'tau_cross is 2.0'),
    (['a dog', '--threshold', '2'], 'threshold is 2.0'),
    (['a dog', '--mask', 'none.png'], 'none.png does not exist'),
    (['a dog', '--device', 'abacus'], "'abacus'"),
    (['a dog', '-o', 'x.doc'], 'x.doc'),
    (['a dog', '-o', '.'], 'is a folder'),
    (['a dog', '-o', 'in.png/x.png'], 'cannot be written'),
    ([''], 'prompt is empty')])
def test_bad_edits_are_refused(run, inverted, options, said):
    status, lines = run(nulltext_edit, 'a.safetensors', *options)
    assert status == 1 and len(lines) == 1 and said in lines[0]


def test_damaged_inversions_are_refused(run, inverted, tmp_path):
    data = inverted.read_bytes()
    spoilt = {'cut': data[:-50], 'head': data[:100], 'bit': data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
              'prompt': data.replace(b'a cat, on', b'a dog, on'), 'none': b''}
    for name, b in spoilt.items():
        (tmp_path/name).write_bytes(b)
        status, lines = run(nulltext_edit, name, 'a dog')
        assert status == 1 and len(lines) == 1 and name in lines[0], (name, lines)


def test_inversions_of_other_settings_are_refused(run, inverted, tmp_path):
    random_pipe().save_pretrained(tmp_path/'other')
    status, lines = run(nulltext_edit, 'a.safetensors', 'a dog', '--model', 'other')
    assert status == 1 and 'made with model' in lines[-1]
    with safe_open(inverted, 'pt') as f: header, path, phis = f.metadata(), f.get_tensor('path'), f.get_tensor('phis')
    wide = path.reshape(*path.shape[:3], path.shape[-2]//2, 2*path.shape[-1])
    for other in (path[:2], wide):  # fewer steps, another size
        save_file(dict(path=other, phis=phis), tmp_path/'other.safetensors', header)
        status, lines = run(nulltext_edit, 'other.safetensors', 'a dog')
        assert status == 1 and 'checksum' in lines[0]
    pipe, inv = load_pipe(), Inversion.load(inverted)
    for name, value in (('T', 50), ('w', 3.), ('size', (128, 64))):
        with pytest.raises(ValueError, match=f'made with {name} = '): check_settings(pipe, inv, **{name: value})
    for word, value in (('num_inference_steps', 50), ('guidance_scale', 3.)):
        with pytest.raises(ValueError, match=f'{word} was settled'): edit(pipe, inv, 'a dog', **{word: value})


def test_a_place_that_cannot_be_written_is_found_out_first(run, tmp_path):
    RGB.save('in.png')
    for command, argv in ((nulltext_invert, ['in.png', 'a cat', '--T', '1', '-o', 'in.png/x']),
                          (nulltext_demo, ['--T', '1', '--out', 'in.png/x'])):
        status, lines = run(command, *argv)
        assert status == 1 and len(lines) == 1 and 'cannot be written' in lines[0]


def test_a_model_that_is_not_there(run, tmp_path, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    RGB.save('in.png')
    status, lines = run(nulltext_invert, 'in.png', 'a cat', '--model', 'no/such-model')
    assert status == 1 and len(lines) == 1 and 'no/such-model' in lines[0] and 'needs no download' in lines[0]
