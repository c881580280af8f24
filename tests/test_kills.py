"Commands that are killed at any moment: nothing half-written is taken for whole, and what goes on ends the same."
import json
from pathlib import Path

import pytest
import torch
from conftest import MANY, python
from PIL import Image

from nulltext_nb import resume
from nulltext_nb.cli import nulltext_invert
from nulltext_nb.editing import invert
from nulltext_nb.pipeline import count_units, embed, random_pipe
from nulltext_nb.scheduler import Step, eps_theta

pytestmark = pytest.mark.xdist_group('kills')
JOB = dict(caption='a cat on grass', T=3, w=3., solver='least_squares', progress=False)
KILLS = Path(__file__).with_name('kills.py')


def test_what_is_killed_loses_nothing(tmp_path):
    "Of invert, edit, a benchmark and a training; half of the kills come while a file is written."
    died = json.loads(python(KILLS, tmp_path, str(MANY['kills']), '0').splitlines()[-1])
    went_on = {name: ways.pop('went_on') for name, ways in died.items()}
    print(died, went_on)
    for name, ways in died.items():
        assert sum(ways.values()) == MANY['kills'] and 2*ways['moment'] == MANY['kills'], name
    assert sum(went_on.values()), 'none had anything to go on from'


# ---- The file of steps

@pytest.fixture
def pipe(): return random_pipe()


@pytest.fixture
def image(): return Image.linear_gradient('L').resize((64, 64)).convert('RGB')


@pytest.fixture
def steps(tmp_path): return tmp_path/'steps.safetensors'


def stop(step):
    if (step.stage, step.i) == ('fit', 1): raise InterruptedError


def test_a_full_disk_stops_no_work(pipe, image, steps, monkeypatch):
    "What was kept before stays."
    right = invert(pipe, image, **JOB)
    with pytest.raises(InterruptedError): invert(pipe, image, resume=steps, cb=stop, **JOB)
    data = steps.read_bytes()
    def full(*_, **__): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(resume, 'save_file', full)
    with pytest.warns(UserWarning, match='No space left.*going on without'):
        found = invert(pipe, image, resume=steps, **JOB)
    assert torch.equal(found.path, right.path) and torch.equal(found.phis, right.phis)
    assert [p.read_bytes() for p in steps.parent.iterdir()] == [data]


def test_every_picture_has_its_file(pipe, image, tmp_path):
    "The second of two is stopped; then only what is left is done."
    images, files = [image, image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)], [tmp_path/'a', tmp_path/'b']
    right, seen = invert(pipe, images, **JOB), []
    def later(step):
        seen.append(step)
        if len(seen) == 10: raise InterruptedError
    with pytest.raises(InterruptedError): invert(pipe, images, resume=files, cb=later, **JOB)
    told = []
    with count_units(pipe) as units: found = invert(pipe, images, resume=files, cb=told.append, **JOB)
    assert [(s.stage, s.i) for s in told] == [('fit', 1), ('fit', 2)] and units.backwards == 2
    for a, b in zip(found, right, strict=True): assert torch.equal(a.path, b.path) and torch.equal(a.phis, b.phis)
    with pytest.raises(ValueError, match='of another inversion, with picture'):
        invert(pipe, images, resume=files[::-1], **JOB)


def test_steps_may_share_numbers(steps):
    "In any order of memory."
    x = torch.randn(1, 4, 8, 8).transpose(-1, -2)
    resume.save_steps([Step('fit', i, 2, 5, x, kept=dict(phi=x)) for i in range(2)], steps, {})
    for step in resume.load_steps(steps, {}, x):
        assert torch.equal(step.latents, x) and torch.equal(step.kept['phi'], x)


def test_noise_is_in_the_order_of_its_shape(pipe):
    "So that sums over it are the same for numbers that were read from a file."
    for z in (torch.randn(1, 4, 8, 8), torch.randn(2, 4, 8, 8).to(memory_format=torch.channels_last)):
        assert eps_theta(pipe, z, 5, embed(pipe, ['a cat']*len(z))).is_contiguous()


def test_steps_are_written_every_few_seconds(pipe, image, steps, monkeypatch):
    written = []
    def save(done, *_): written.append(len(done))
    monkeypatch.setattr(resume, 'save_steps', save)
    invert(pipe, image, resume=steps, **JOB)
    assert written == [6], 'once, in the end'
    monkeypatch.setattr(resume, 'EVERY', 0)
    invert(pipe, image, resume=steps, **JOB)
    assert written[1:] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize('file, message', [('inv', 'cannot keep the steps as well'),
                                           ('photo.png', 'the work reads, too')])
def test_the_command_refuses_a_file_that_serves_otherwise(file, message, image, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image.save('photo.png')
    assert nulltext_invert(['photo.png', 'a cat', '-o', 'inv', '--resume', file]) == 1
    assert message in capsys.readouterr().err and [p.name for p in tmp_path.iterdir()] == ['photo.png']
