"Threads that share a pipeline: each gets what it would get alone, and the pipeline is left as it came."
import gc, sys, threading, time, warnings
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch
from conftest import MANY
from diffusers.utils import logging
from PIL import Image

from nulltext_nb import pipeline, threads
from nulltext_nb.app import session as editor
from nulltext_nb.app.session import Cancelled, Session
from nulltext_nb.attention import AttentionStore, Control, controlled, prompt_words
from nulltext_nb.editing import edit, invert
from nulltext_nb.inversion import sample
from nulltext_nb.nulltext import fit_nulls
from nulltext_nb.pipeline import alone, embed, load_pipe, random_pipe
from nulltext_nb.solvers import fit_least_squares

pytestmark = pytest.mark.xdist_group('threads')

SOURCE, TARGETS = 'a cat on grass', ['a dog on grass', 'a red cat on grass', 'a red dog on grass']
QUIET = dict(progress=False)


@pytest.fixture
def pipe():
    pipe = random_pipe()
    pipe.unet.enable_gradient_checkpointing()  # a backward pass asks the UNet again
    return pipe


@pytest.fixture
def image(): return Image.linear_gradient('L').resize((64, 64)).convert('RGB')


@pytest.fixture
def inv(pipe, image): return invert(pipe, image, SOURCE, T=3, w=3., **QUIET)


def state(pipe):
    "What an edit or a count hangs on the UNet."
    unet = pipe.unet
    return dict(unet.attn_processors), dict(unet._forward_hooks), dict(unet._forward_pre_hooks)


@pytest.fixture(autouse=True)
def left_as_it_came(pipe):
    before = state(pipe)
    yield
    assert state(pipe) == before and not any(threads._lines.values())


def together(*works):
    "Do `works` in threads that start at the same moment, and give back what they give; none may hang."
    start = threading.Barrier(len(works))
    def go(work):
        start.wait()
        return work()
    with ThreadPoolExecutor(len(works)) as pool:
        return [job.result(timeout=600) for job in [pool.submit(go, work) for work in works]]


def calls(pipe, image, inv):
    "Calls, every one of another kind, that give tensors."
    def edited(target, **kw): return lambda: [edit(pipe, inv, target, output_type='latent', **kw, **QUIET)]
    def inverted(solver, caption):
        def call():
            found = invert(pipe, image, caption, T=3, w=3., solver=solver, **QUIET)
            return [found.path, found.phis]
        return call
    def fitted(fit):
        pivots, cond, null = inv.path, embed(pipe, SOURCE), embed(pipe, '')
        def call():
            found = fit(pipe, pivots, cond, null, 3.)
            return [found.path, found.phis]
        return call
    return [fitted(fit_nulls), fitted(fit_least_squares),
            *(edited(t) for t in TARGETS), edited(TARGETS, chunk=2), edited(TARGETS[0], blend=('cat', 'dog')),
            edited(TARGETS[1], weights={'red': 2}), edited(TARGETS[2], control=AttentionStore()),
            *(inverted(s, c) for s in ('residual', 'least_squares') for c in (SOURCE, 'a dog')),
            inverted('paper', SOURCE)]


def test_threads_get_what_they_would_get_alone(pipe, image, inv):
    "Eight threads, each with its own order of invert and edit."
    works = calls(pipe, image, inv)
    right = [work() for work in works]
    def many(k):
        order = [(5*k + j) % len(works) for j in range(MANY['calls'])]
        return [(n, works[n]()) for n in order]
    for results in together(*(lambda k=k: many(k) for k in range(8))):
        for n, found in results: assert all(torch.equal(a, b) for a, b in zip(found, right[n], strict=True)), n


def test_two_controls_after_one_another(pipe, inv):
    "A enters, B enters, A leaves, B leaves: B waits until A has left."
    said, inside, leave = [], threading.Event(), threading.Event()
    def one(name, ready):
        ready.wait()
        with controlled(pipe, AttentionStore()):
            said.append(f'{name} enters')
            inside.set()
            leave.wait()
            said.append(f'{name} leaves')
    now = threading.Event()
    now.set()
    pool = ThreadPoolExecutor(2)
    jobs = [pool.submit(one, 'A', now), pool.submit(one, 'B', inside)]
    while len(threads._lines.get(pipe.unet, [])) < 2: time.sleep(0.01)
    leave.set()
    for job in jobs: job.result(timeout=60)
    assert said == ['A enters', 'A leaves', 'B enters', 'B leaves']
    right = edit(random_pipe(), inv, TARGETS[0], output_type='latent', **QUIET)
    assert torch.equal(edit(pipe, inv, TARGETS[0], output_type='latent', **QUIET), right)


def test_plain_sampling_is_not_seen_by_the_control_of_another(pipe, inv):
    "Nor do its evaluations count there."
    z, cond, null = torch.randn(1, 4, 8, 8), embed(pipe, SOURCE), embed(pipe, '')
    right, store, inside = sample(pipe, z, cond, null, 3, 3.), AttentionStore(), threading.Event()
    def watch():
        with controlled(pipe, store):
            inside.set()
            time.sleep(0.2)
            assert not store.now, 'somebody else was seen'
    def draw():
        inside.wait()
        return sample(pipe, z, cond, null, 3, 3.)
    assert torch.equal(together(watch, draw)[1], right)


@pytest.mark.parametrize('fit', [fit_nulls, fit_least_squares])
def test_nobody_comes_between_forward_and_backward(fit, pipe, inv, monkeypatch):
    "A backward pass asks the UNet again where memory is short: the whole fit is one turn."
    pivots, cond, null = inv.path, embed(pipe, SOURCE), embed(pipe, '')
    right, store, between = fit(pipe, pivots, cond, null, 3.), AttentionStore(), threading.Event()
    def pause(x, what):
        between.set()
        time.sleep(0.05)
        return x
    def watch():
        between.wait()
        with controlled(pipe, store):
            time.sleep(0.2)
            assert not store.now, 'somebody else was seen'
    monkeypatch.setattr(sys.modules[fit.__module__], 'check_finite', pause)
    assert torch.equal(together(lambda: fit(pipe, pivots, cond, null, 3.), watch)[0].path, right.path)


@pytest.mark.parametrize('k', [2, -1], ids=['edit', 'invert'])
def test_an_error_lets_the_next_in(k, pipe, image, inv):
    "A fails inside its control while B waits."
    work, inside = calls(pipe, image, inv)[k], threading.Event()
    def fail():
        with controlled(pipe, Control()):
            inside.set()
            time.sleep(0.1)
            raise ArithmeticError
    def stopped():
        with pytest.raises(ArithmeticError): fail()
    def wait():
        inside.wait()
        return work()
    for a, b in zip(together(stopped, wait)[1], work(), strict=True): assert torch.equal(a, b)


def test_a_wait_that_is_long_is_told(pipe, monkeypatch):
    monkeypatch.setattr(threads, '_PATIENCE', 0.05)
    inside = threading.Event()
    def hold():
        threading.current_thread().name = 'the other'
        with alone(pipe):
            inside.set()
            time.sleep(0.5)
    def wait():
        inside.wait()
        embed(pipe, SOURCE)
    with pytest.warns(UserWarning, match='the other is using this pipeline') as said: together(hold, wait)
    assert len(said) == 1


def test_two_pipelines_in_two_orders_are_refused(pipe):
    "One of the threads is told, the other goes on."
    other, both = random_pipe(), threading.Barrier(2)
    def take(a, b):
        with alone(a):
            both.wait()
            try:
                with alone(b): return 'in'
            except RuntimeError as e: return str(e)
    said = sorted(together(lambda: take(pipe, other), lambda: take(other, pipe)))
    assert said[0] == 'in' and 'in one order' in said[1]


def test_two_pipelines_do_not_wait_for_each_other(pipe):
    other, inside = random_pipe(), threading.Event()
    def hold():
        with alone(pipe): assert inside.wait(60)
    def go():
        with alone(other): inside.set()
    together(hold, go)


def test_one_thread_may_not_nest_two_controls(pipe):
    with controlled(pipe, Control()), pytest.raises(ValueError, match='another control is at work'):
        with controlled(pipe, Control()): pass


def test_a_generator_may_be_closed_by_another_thread(pipe, inv):
    def steps():
        with controlled(pipe, Control()):
            yield 1
            yield 2
    held = []
    def begin():
        held.append(steps())
        next(held[0])
    with ThreadPoolExecutor(1) as pool: pool.submit(begin).result()
    held.clear()
    gc.collect()
    together(lambda: edit(pipe, inv, TARGETS[0], **QUIET))


def test_words_are_found_while_others_embed(pipe):
    "A tokenizer remembers how it was asked last."
    right = prompt_words(pipe.tokenizer, SOURCE)
    end = time.monotonic() + 1
    def words():
        while time.monotonic() < end: assert prompt_words(pipe.tokenizer, SOURCE) == right
    def embedded():
        while time.monotonic() < end: embed(pipe, SOURCE)
    together(words, embedded, words, embedded)


def test_what_is_of_the_process_is_left_as_it_was(pipe, tmp_path):
    "Verbosity, bars and filters, while several load and embed."
    pipe.save_pretrained(tmp_path)
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), list(warnings.filters)
    def load(): load_pipe(tmp_path, device='cpu', safety_checker=True)
    with pipeline._hush:
        quiet = logging.get_verbosity()
        together(lambda: embed(pipe, SOURCE))
        assert logging.get_verbosity() == quiet != before[0], 'one still wants quiet'
    together(*[load, lambda: embed(pipe, [SOURCE]*50)]*3)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled(), list(warnings.filters)) == before


# ---- The editor

@pytest.fixture
def session(pipe, image, tmp_path):
    session = Session(pipe, T=3, w=3., folder=tmp_path/'inversions')
    session.start(image, SOURCE)
    return session


def test_an_editor_waits_in_the_same_line_and_can_be_cancelled(pipe, session):
    inside, cancelled = threading.Event(), threading.Event()
    def hold():
        with controlled(pipe, Control()):
            inside.set()
            assert cancelled.wait(60)
    def wait():
        inside.wait()
        with pytest.raises(Cancelled): session.invert(SOURCE)
        cancelled.set()
    def cancel():
        while len(threads._lines.get(pipe.unet, [])) < 2: time.sleep(0.01)
        session.cancel()
    together(hold, wait, cancel)
    assert session.invert(SOURCE).prompt == SOURCE


def test_editors_of_two_pipelines_leave_filters_as_they_were(session, image, tmp_path):
    other = Session(random_pipe(seed=1), T=3, w=3., folder=tmp_path/'others')
    other.start(image, SOURCE)
    before = list(warnings.filters)
    def work(s):
        s.invert(SOURCE)
        for target in TARGETS: s.edit(target)
    together(lambda: work(session), lambda: work(other))
    assert warnings.filters == before and len(session.history) == len(other.history) == 3


@pytest.mark.parametrize('method', ['ddpm', 'edict'])
def test_an_editor_edits_what_was_walked_in_another_way(method, pipe, image, session):
    session.inv = editor.methods.METHODS[method](pipe, image, SOURCE, T=3, w=3.)
    assert session.edit(TARGETS[0]).result.size == image.size


# ---- Memory

def test_memory_is_flat(pipe, image, inv, tmp_path):
    "After the first tenth (long form: fifty of a thousand), edits and loads need no more."
    pipe.save_pretrained(tmp_path/'model')
    inv.save(tmp_path/'inv.safetensors')
    process, sizes = psutil.Process(), []
    for k in range(MANY['edits']):
        edit(pipe, tmp_path/'inv.safetensors', TARGETS[k%3], **QUIET)
        if k % 10 == 0: load_pipe(tmp_path/'model', device='cpu', safety_checker=True)
        if k >= 50: sizes.append(process.memory_info().rss)
    print(f'{sizes[0]/1e6:.0f} MB after 50 edits, at most {max(sizes)/1e6:.0f} MB')
    assert max(sizes) < 1.05*sizes[0]
