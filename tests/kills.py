"""Kill commands at any moment, and see that nothing is lost: `python tests/kills.py FOLDER KILLS SEED [JOB …]`.

A process imports once and forks for every attempt. Half of the attempts die by SIGKILL after a random time, the others
while they write: at a random byte of a file, by a limit that the kernel enforces, or at a call of fsync or replace.
Prints, as JSON, for each job how many died in which way, and how many had something to go on from.
"""
import json, os, random, resource, shutil, signal, sys, threading, time, traceback
from functools import partial, wraps
from itertools import cycle, islice
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from nulltext_nb import cli, pipeline, resume
from nulltext_nb.editing import Inversion, invert
from nulltext_nb.files import writing
from nulltext_nb.lab import queue
from nulltext_nb.world.learner import fit, load_checkpoint, mk_learner

SOURCE, TARGET = 'a cat on grass', 'a dog on grass'
tqdm.set_lock(threading.RLock())  # one process's own: tqdm's is shared by forks, and who is killed never gives it back


# ---- Ways to die

def die(): os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(n):
    "Die before the `n`-th call of fsync or replace."
    left = iter(range(n))
    def counted(call):
        def inner(*args, **kw):
            if next(left, None) is None: die()
            return call(*args, **kw)
        return inner
    for name in ('fsync', 'replace', 'rename'): setattr(os, name, counted(getattr(os, name)))


def die_at_byte(n):
    "Die in the write that would make a file longer than `n` bytes."
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))


def wait(pid):
    "The signal that ended `pid`, or 0; a failure of its own is a failure."
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f'exit status {os.WEXITSTATUS(status)}'
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def spawn(work, prepare=None):
    "Do `work` in a process of its own."
    sys.stdout.flush()
    if pid := os.fork(): return pid
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if prepare: prepare()
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def attempt(job, way, rng):
    "Do `job` and die meanwhile, unless it is done before: did it die?"
    if way == 'byte': return wait(spawn(job.work, partial(die_at_byte, rng.randrange(job.bytes))))
    if way == 'call': return wait(spawn(job.work, partial(die_at_call, rng.randrange(job.calls))))
    pid = spawn(job.work)
    time.sleep(rng.uniform(0, job.seconds))
    os.kill(pid, signal.SIGKILL)
    return wait(pid)


# ---- Jobs: what is done, what may be found after a kill, what must be there in the end

class Job:
    "Something to do in `folder`, with so many calls of fsync and replace, and the ways to die in turn."
    calls, ways = 2, ('moment', 'byte', 'moment', 'call')
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
    def begin(self):
        "An old result, perhaps, and nothing else."
        shutil.rmtree(self.folder)
        self.folder.mkdir()
    def look(self):
        "What is there is whole: is there something to go on from?"
        return False
    def files(self): return sorted(p.name for p in self.folder.iterdir() if not p.name.startswith('.'))


class Invert(Job):
    "The command, with a file of steps that is written after each of them."
    calls = 14
    def __init__(self, folder):
        super().__init__(folder)
        self.photo, self.out, self.steps = (folder/o for o in ('photo.png', 'inv.safetensors', 'steps.safetensors'))
    def begin(self):
        super().begin()
        PHOTO.save(self.photo)
        OLD.save(self.out)
        self.before = self.out.read_bytes(), self.photo.read_bytes()
    def work(self):
        resume.EVERY = 0   # every step is written
        assert not cli.nulltext_invert([str(self.photo), SOURCE, '-o', str(self.out), '--resume', str(self.steps),
                                        *'--T 3 --w 3 --solver least_squares --quiet'.split()])
    def look(self):
        assert (Inversion.load(self.out).T, self.photo.read_bytes()) == (3 if self.is_new() else 2, self.before[1])
        if self.steps.exists(): resume._read(self.steps)
        return self.steps.exists()
    def is_new(self): return self.out.read_bytes() != self.before[0]
    def result(self):
        assert self.files() == ['inv.safetensors', 'photo.png']
        with safe_open(self.out, 'pt') as f: return f.metadata()   # with a checksum over every number


class Edit(Job):
    "The command, over a picture that is there."
    def __init__(self, folder):
        super().__init__(folder)
        self.inv, self.out = folder/'inv.safetensors', folder/'edited.png'
    def begin(self):
        super().begin()
        OLD.save(self.inv)
        PHOTO.save(self.out)
        self.old = self.out.read_bytes()
    def work(self): assert not cli.nulltext_edit([str(self.inv), TARGET, '-o', str(self.out), '--quiet'])
    def look(self):
        Inversion.load(self.inv)
        with Image.open(self.out) as im: im.load()
        assert self.out.read_bytes() in (self.old, self.right)
    def result(self):
        self.right = self.out.read_bytes()
        return self.right


def slow_square(x):
    time.sleep(0.01)
    return dict(square=x*x)


def same_code(module): return module


class Bench(Job):
    "Results that are kept one by one, by SQLite, whose calls are its own."
    ways = 'moment', 'byte'
    def __init__(self, folder):
        super().__init__(folder)
        self.file = folder/'r.sqlite'
    def work(self):
        items = [(f'{x//4}/{x}', x) for x in range(12)]
        rows = queue.run_shared(items, slow_square, self.file, dict(kind='kill'), progress=False)
        assert [r['square'] for r in rows] == [x*x for x in range(12)]
    def look(self):
        if not self.file.exists(): return False
        kept = [o for _, results in queue.read_results(self.file) for o in results.items()]
        assert all(r['square'] == int(k.split('/')[1])**2 for k, r in kept)
        return 0 < len(kept) < 12
    def result(self):
        assert [n for n in self.files() if not n.endswith(('-wal', '-shm', '-journal'))] == ['r.sqlite']
        return queue.read_results(self.file)


class Train(Job):
    "A training with a checkpoint after every step."
    calls = 16
    def __init__(self, folder):
        super().__init__(folder)
        self.file, self.out = folder/'checkpoint.safetensors', folder/'weights.safetensors'
    def learner(self):
        torch.manual_seed(0)
        x = torch.randn(64, 3, 4, 4)
        model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
        learn = mk_learner(model, [x, x.flip(1)], nn.functional.mse_loss, 8, 1e-2, 16, path=self.file, device='cpu')
        learn.budget.every = 0
        return learn
    def work(self):
        state = {k: x.contiguous() for k, x in fit(self.learner()).state_dict().items()}
        with writing(self.out) as part: save_file(state, part)
    def look(self):
        if not self.file.exists(): return False
        learn = self.learner()
        learn.create_opt()
        learn.ema.before_fit()
        steps, *_ = load_checkpoint(self.file, learn)
        return 0 < steps < 8
    def result(self): return load_file(self.out)


def is_same(a, b):
    "Equal; trained weights up to rounding."
    if not isinstance(a, dict) or isinstance(next(iter(a.values())), str): return a == b
    return a.keys() == b.keys() and all(torch.allclose(a[k].float(), b[k].float(), atol=1e-6) for k in a)


def torment(job, kills, rng):
    "Kill `job` until it died `kills` times; after each time look, go on, and compare with what comes undisturbed."
    job.begin()
    since = time.monotonic()
    assert not wait(spawn(job.work))
    job.seconds = time.monotonic() - since
    right = job.result()
    job.bytes = max(p.stat().st_size for p in job.folder.iterdir())
    died = dict(moment=0, byte=0, call=0, went_on=0)
    for way in islice(cycle(job.ways), kills):
        job.begin()
        while not attempt(job, way, rng): job.begin()
        died[way] += 1
        died['went_on'] += bool(job.look())
        assert not wait(spawn(job.work))
        assert is_same(job.result(), right), f'after a kill ({way}) the result is another'
    return died


if __name__ == '__main__':
    folder, kills, seed, *names = sys.argv[1:]
    jobs = dict(invert=Invert, edit=Edit, bench=Bench, train=Train)
    PHOTO = Image.linear_gradient('L').resize((64, 64)).convert('RGB')
    PIPE = pipeline.random_pipe()
    pipeline.load_pipe = wraps(pipeline.load_pipe)(lambda **_: PIPE)
    queue.code_digest = same_code  # a second of reading each time
    OLD = invert(PIPE, PHOTO, SOURCE, T=2, w=3., progress=False)
    died = {}
    for name in names or jobs:
        died[name] = torment(jobs[name](Path(folder)/name), int(kills), random.Random(f'{seed} {name}'))
    print(json.dumps(died))
