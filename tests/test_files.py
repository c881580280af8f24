"Nothing half-written stays, and nothing old is lost: every writer, with everything that can go wrong on the way."
import ctypes, errno, io, os, resource, shutil, socket, threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from PIL import Image

from nulltext_nb import cli, demo, files
from nulltext_nb.cli import nulltext_bench, nulltext_demo, nulltext_edit, nulltext_invert
from nulltext_nb.editing import invert
from nulltext_nb.files import check_writable, writing, writing_folder
from nulltext_nb.images import save_image, save_images
from nulltext_nb.lab.pie_files import mk_pie_fixture
from nulltext_nb.lab.queue import read_results, run_shared
from nulltext_nb.pipeline import EMBEDDED, random_pipe
from nulltext_nb.world import denoiser
from nulltext_nb.world.learner import fit, mk_learner, save_checkpoint
from nulltext_nb.world.training import ship

PHOTO = Image.radial_gradient('L').convert('RGB').resize((64, 64))


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "What the writers write, made once."
    out = tmp_path_factory.mktemp('made')
    pipe = random_pipe()
    pipe.save_pretrained(out/'pipe')
    shutil.copytree(EMBEDDED/'tokenizer', out/'tokenizer')
    for name in ('vae', 'unet', 'judge'): (out/f'{name}_state.csv').write_text('100,1.0,0.5,64\n'*9)
    (out/'judge.safetensors').write_bytes(bytes(1000))
    PHOTO.save(out/'photo.png')
    inv = invert(pipe, PHOTO, 'a cat on grass', T=2, progress=False)
    x = torch.randn(8, 64)
    learn = mk_learner(torch.nn.Linear(64, 64), [x, x], torch.nn.functional.mse_loss, 2, 0.1, 4, device='cpu')
    fit(learn)
    model = ('--model', out/'pipe')
    return SimpleNamespace(inv=inv, file=inv.save(out/'a.safetensors'), learn=learn, out=out, model=model)


def run(command, *argv):
    "Run a command; what it says when it fails becomes an `OSError`."
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()): status = command([*map(str, argv), '--quiet'])
    assert 'Traceback' not in said.getvalue()
    lines = [o for o in said.getvalue().splitlines() if not o.startswith('note: ')]
    if status: raise OSError('\n'.join(lines))


# ---- Everything that writes: each function writes below `root`, the same again whenever it is called

def write_inversion(made, root): made.inv.save(root/'a.safetensors')
def write_pictures(made, root): save_images([PHOTO]*2, ['one', 'two'], root/'strip.png')
def write_checkpoint(made, root): save_checkpoint(root/'state.safetensors', made.learn, 2, 8, 0.1)


def write_inverted(made, root):
    run(nulltext_invert, made.out/'photo.png', 'a cat', '-o', root/'a.safetensors', '--T', 2, *made.model)


def write_edit(made, root):
    run(nulltext_edit, made.file, 'a dog on grass', '-o', root/'a.png', *made.model)


def write_bitmap(made, root):
    "A format that Pillow writes as one piece, and whose loss on a full disk it does not see."
    save_image(PHOTO, root/'a.bmp')


def write_scenes(made, root):
    with patch('nulltext_nb.lab.pie_files.PIE_SIDE', 64): mk_pie_fixture(root, n=1)


def write_figures(made, root):
    def measure(pipe, quick:bool=False, file=None, progress:bool=True):
        "Measure."
        return {f'figure {i}': i for i in range(300)}
    with patch.object(cli, 'benchmarks', return_value=dict(model=(measure, str))):
        run(nulltext_bench, 'model', '--json', root/'figures.json', *made.model)


def write_demo(made, root):
    anywhere = [e for e in demo.DEMO_EDITS if e.kind == 'style']  # the tiny model finds nothing in a picture
    with patch.object(demo, 'DEMO_EDITS', anywhere):
        run(nulltext_demo, '--out', root, '--T', 1, *made.model)


def write_latents(made, root):
    "A block of latents, drawn anew."
    for file in root.glob('*.safetensors'): file.unlink()
    with patch.object(denoiser, '_block', return_value=dict(z0=torch.zeros(999))):
        denoiser.latent_set(None, None, 1, root)


def write_model(made, root):
    (root/'data').mkdir(parents=True, exist_ok=True)
    ship(made.out, root/'data', root/'logs')


WRITERS = [write_inversion, write_inverted, write_edit, write_pictures, write_bitmap, write_figures, write_demo,
           write_checkpoint, write_scenes, write_model]


def held(root):
    "From name to content, of all that lies in `root`."
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(root.rglob('*')) if f.is_file()}


# ---- Everything that goes wrong: each is entered when old results are there, with `root` and what it holds

@contextmanager
def full_disk(root, old):
    "No file may grow beyond half of the largest: the write stops in the middle, whoever writes."
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, old.values()))//2, limits[1]))
    try: yield
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def full_disk_at_the_end(root, old):
    "The disk says that it is full only when bytes must reach it."
    with patch('os.fsync', side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))): yield


@contextmanager
def no_more_than_others():
    "The rights of files hold for root, too: this thread does without the capability to pass over them."
    libc, version = ctypes.CDLL(None), (ctypes.c_uint32*2)(0x20080522, 0)
    now = (ctypes.c_uint32*6)()  # effective, permitted, inheritable, twice
    libc.capget(version, now)
    then = (ctypes.c_uint32*6)(now[0] & ~0b110, *now[1:])  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert not libc.capset(version, then)
    try: yield
    finally: libc.capset(version, now)


@contextmanager
def unwritable_folder(root, old):
    "Nothing may be made in the folders."
    folders = [root, *(d for d in root.rglob('*') if d.is_dir())]
    for d in folders: d.chmod(0o555)
    try:
        with no_more_than_others(): yield
    finally:
        for d in folders: d.chmod(0o755)


@contextmanager
def vanished_folder(root, old):
    "All is gone when the new file is complete."
    def gone(file):
        shutil.rmtree(root)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    with patch.object(files, '_sync', gone): yield
    assert not root.exists()


FAULTS = [full_disk, full_disk_at_the_end, unwritable_folder, vanished_folder]


@pytest.fixture
def root(tmp_path):
    "An empty folder, alone in another."
    (tmp_path/'root'/'out').mkdir(parents=True)
    return tmp_path/'root'/'out'


@pytest.mark.parametrize('write', WRITERS)
def test_what_goes_wrong_costs_nothing(write, made, root):
    write(made, root)
    old = held(root)
    assert old and not [name for name in old if Path(name).name.startswith('.')]
    for fault in FAULTS:
        with pytest.raises((OSError, ValueError)) as e, fault(root, old): write(made, root)
        assert '\n' not in str(e.value) and root.name in str(e.value), fault
        if fault is vanished_folder: assert not list(root.parent.iterdir())
        else: assert held(root) == old, fault
        write(made, root)
        assert held(root).keys() == old.keys(), 'the next time it is written'
        old = held(root)  # the order of a safetensors header may change


def test_blocks_of_latents(made, root):
    write_latents(made, root)
    old = held(root)
    for fault in FAULTS[:2]:
        with pytest.raises(OSError), fault(root, old): write_latents(made, root)
        assert not held(root), 'no half block, which the next run would read'
    write_latents(made, root)
    assert held(root).keys() == old.keys()


@pytest.mark.parametrize('write', WRITERS)
def test_old_bytes_are_replaced_not_changed(write, made, root, tmp_path):
    "Somebody who has the old file open, or under another name, keeps it."
    write(made, root)
    kept = {}
    for name in held(root):
        (root/name).write_bytes(b'old')
        kept[name] = tmp_path/name.replace('/', '-')
        os.link(root/name, kept[name])
    write(made, root)
    assert all(b != b'old' for b in held(root).values())
    assert all(file.read_bytes() == b'old' for file in kept.values())


def test_a_stop_leaves_the_old(made, root):
    write_inversion(made, root)
    old = held(root)
    with pytest.raises(KeyboardInterrupt), writing(root/'a.safetensors') as part:
        part.write_bytes(b'half')
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), patch('os.replace', side_effect=KeyboardInterrupt):
        write_inversion(made, root)
    assert held(root) == old


# ---- Where a file may go

def test_links_lead_to_their_target(tmp_path):
    (tmp_path/'there').mkdir()
    (tmp_path/'there'/'a.txt').write_text('old')
    for name, target in (('link', 'there/a.txt'), ('second', 'link'), ('dangling', 'there/new.txt'), ('loop', 'loop')):
        (tmp_path/name).symlink_to(target)
    for name, target in (('link', 'a.txt'), ('second', 'a.txt'), ('dangling', 'new.txt')):
        with writing(tmp_path/name) as part: part.write_text(name)
        assert (tmp_path/name).is_symlink() and (tmp_path/'there'/target).read_text() == name
    with pytest.raises(ValueError, match='loop is no ordinary file'): check_writable(tmp_path/'loop')
    assert sorted(p.name for p in tmp_path.rglob('*')) == sorted(
        ['there', 'a.txt', 'new.txt', 'link', 'second', 'dangling', 'loop'])


def test_what_is_no_file_is_left_alone(tmp_path):
    os.mkfifo(tmp_path/'fifo')
    (tmp_path/'fifo link').symlink_to('fifo')
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path/'socket'))
        for name in ('fifo', 'fifo link', 'socket', '/dev/null', '/proc/self/mem'):
            with pytest.raises(ValueError, match='is no ordinary file|cannot be written'):
                with writing(tmp_path/name): raise AssertionError('nothing is begun')
    with pytest.raises(ValueError, match='is a folder'): check_writable(tmp_path)
    assert Path('/dev/null').is_char_device()


def test_permissions_are_kept(tmp_path):
    (tmp_path/'private').touch(mode=0o600)
    (tmp_path/'plain').touch()
    for name in ('private', 'plain', 'new'):
        with writing(tmp_path/name) as part: part.write_text(name)
    modes = {f.name: f.stat().st_mode & 0o777 for f in tmp_path.iterdir()}
    assert modes['private'] == 0o600 and modes['new'] == modes['plain'] == 0o666 & ~os.umask(os.umask(0o22))


def test_neighbours_are_left_alone(made, tmp_path):
    "Names that writers like to take for what is not finished."
    mine = [tmp_path/f'a.safetensors{end}' for end in ('.part', '.tmp', '~')] + [tmp_path/'a.part', tmp_path/'a.tmp']
    for file in mine: file.symlink_to('precious')
    (tmp_path/'precious').write_text('mine')
    made.inv.save(tmp_path/'a.safetensors')
    assert all(file.is_symlink() and file.read_text() == 'mine' for file in mine)
    assert len(list(tmp_path.iterdir())) == len(mine) + 2


def test_an_input_is_no_output(tmp_path, monkeypatch):
    PHOTO.save(tmp_path/'photo.png')
    (tmp_path/'link.png').symlink_to('photo.png')
    os.link(tmp_path/'photo.png', tmp_path/'other name.png')
    monkeypatch.chdir(tmp_path)
    for name in ('photo.png', 'link.png', 'other name.png', './photo.png', tmp_path/'photo.png'):
        with pytest.raises(ValueError, match='what the work reads'):
            check_writable(name, [None, 'none.png', 'photo.png'])
    check_writable('new.png', ['photo.png', PHOTO])


def test_many_write_the_same_file(tmp_path):
    "Whoever is last wins, with a whole file."
    def write(letter):
        for _ in range(20):
            with writing(tmp_path/'a.txt') as part: part.write_text(letter*10_000)
    threads = [threading.Thread(target=write, args=[o]) for o in 'abcd']
    for t in threads: t.start()
    for t in threads: t.join()
    assert set(held(tmp_path)) == {'a.txt'}
    assert len(set((tmp_path/'a.txt').read_text())) == 1


# ---- Folders and databases

def test_a_folder_comes_whole(tmp_path):
    def write(folder, text, error=None):
        with writing_folder(folder) as part:
            (part/'weights').write_text(text)
            if error: raise error
    write(tmp_path/'new'/'model', 'old')
    for error in (OSError(errno.ENOSPC, 'full'), KeyboardInterrupt()):
        with pytest.raises(type(error)): write(tmp_path/'new'/'model', 'new', error)
    with pytest.raises(OSError, match='full'), patch('os.fsync', side_effect=OSError(errno.ENOSPC, 'full')):
        write(tmp_path/'new'/'model', 'new')
    rename = Path.rename
    def once(file, target):
        "The old one is moved away, and then the disk is gone for a moment."
        if file.name.startswith('.') and not target.name.startswith('.') and (file/'weights').read_text() == 'new':
            raise OSError(errno.EIO, 'gone')
        return rename(file, target)
    with patch.object(Path, 'rename', once), pytest.raises(OSError, match='model was not written: gone'):
        write(tmp_path/'new'/'model', 'new')
    assert held(tmp_path) == {'new/model/weights': b'old'}
    assert [p.name for p in (tmp_path/'new').iterdir()] == ['model']
    (tmp_path/'photo').touch()
    for wrong in ('photo', ''):
        with pytest.raises(ValueError, match='is no folder|holds something else'): write(tmp_path/wrong, 'new')
    write(tmp_path/'new'/'model', 'new')
    assert held(tmp_path) == {'new/model/weights': b'new', 'photo': b''}


def test_results_survive_a_full_disk(tmp_path):
    items = [(f'k{i}', i) for i in range(20)]
    def work(i): return dict(text=f'{i}'*2000)
    file = tmp_path/'r.sqlite'
    whole = run_shared(items[:5], work, file, progress=False)
    with pytest.raises(OSError, match='r.sqlite') as e, full_disk(tmp_path, {'': bytes(90_000)}):
        run_shared(items, work, file, progress=False)
    assert '\n' not in str(e.value)
    done = read_results(file)[0][1]
    assert 5 <= len(done) < 20 and [done[f'k{i}'] for i in range(5)] == whole
    assert run_shared(items, work, file, progress=False) == [work(i) for _, i in items]
