"The editor: what it knows and does, its widgets driven from Python, and the whole in JupyterLab, driven by a browser."
import html, io, re, shutil
from base64 import b64encode

import numpy as np
import pytest
import screenshot
from conftest import BROWSER, BROWSER_FLAGS, need_browser
from PIL import Image

from nulltext_nb.app import show
from nulltext_nb.app.editor import open_editor, read_upload
from nulltext_nb.app.session import Cancelled, Session
from nulltext_nb.images import load_image, show_images
from nulltext_nb.masks import as_image
from nulltext_nb.pipeline import count_units, random_pipe
from nulltext_nb.store import Inversion
from nulltext_nb.world.scenes import EXAMPLE, EXAMPLE_FILE

pytestmark = pytest.mark.xdist_group('app')  # its fixtures are shared

DOG = EXAMPLE.swap('cat', 'dog').caption


@pytest.fixture
def session(tmp_path):
    s = Session(T=2, folder=tmp_path/'kept')
    assert s.start(EXAMPLE_FILE) == EXAMPLE.caption
    return s


@pytest.fixture
def editor(tmp_path):
    return open_editor(image=EXAMPLE_FILE, T=2, folder=tmp_path/'kept')


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    "An editor with a tiny model and an inversion."
    noise = Image.effect_noise((64, 64), 80).convert('RGB')
    ed = open_editor(random_pipe(), noise, T=2, folder=tmp_path_factory.mktemp('tiny'))
    ed.ui.caption.value = 'a cat on grass'
    press(ed, 'invert')
    return ed


def huge_png():
    "A canvas that is far too large, as its text after the comma."
    buf = io.BytesIO()
    Image.new('1', (5000, 9)).save(buf, 'PNG')
    return b64encode(buf.getvalue()).decode()


def said(ed): return html.unescape(re.sub('<[^>]+>', '', ed.ui.said.value))


def press(ed, name):
    getattr(ed.ui, name).click()
    ed.wait()


# ---- The session

def test_cancel_leaves_everything_as_it_was(session):
    session.invert(EXAMPLE.caption)
    entry = session.edit(DOG, blend=('cat', 'dog'))
    before = dict(vars(session), history=list(session.history))
    def stop(step, left): session.cancel()
    for job in (lambda: session.invert('a cat', stop), lambda: session.edit('a cow and a red balloon on grass', stop)):
        with pytest.raises(Cancelled): job()
        assert dict(vars(session), history=list(session.history)) == before
    assert len(list(session.folder.iterdir())) == 1, 'a stopped inversion leaves no file'
    assert session.edit(DOG, blend=('cat', 'dog')) is entry
    assert session.invert('a cat').prompt == 'a cat'  # and a new inversion works


def test_cancel_stops_at_the_next_step(session):
    seen = []
    def stop(step, left):
        seen.append(step.i)
        if step.i == 2: session.cancel()
    with pytest.raises(Cancelled): session.invert(EXAMPLE.caption, stop, T=50)
    assert seen == [0, 1, 2]


def test_the_second_inversion_is_read(session, tmp_path):
    first = session.invert(EXAMPLE.caption)
    other = Session(T=2, folder=session.folder)
    other.start(load_image(EXAMPLE_FILE))  # the same pixels, not the same object
    with count_units(other.pipe) as units: second = other.invert(EXAMPLE.caption)
    assert units.forwards == 0 and (second.path == first.path).all() and not other.notes
    flipped = Session(T=2, folder=session.folder)
    flipped.start(load_image(EXAMPLE_FILE).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    for s, prompt, kw in ((session, 'a cat', {}), (session, EXAMPLE.caption, dict(T=3)),
                          (session, EXAMPLE.caption, dict(w=4.)), (flipped, EXAMPLE.caption, {})):
        with count_units(s.pipe) as units: s.invert(prompt, **kw)
        assert units.forwards > 0, f'{prompt}, {kw} is another inversion'
    assert len(list(session.folder.iterdir())) == 5


@pytest.mark.parametrize('spoil', [lambda b: b[:-9] + bytes([b[-9] ^ 4]) + b[-8:], lambda b: b[:100], lambda b: b'',
                                   lambda b: b.replace(b'a cat', b'a cow')])
def test_a_damaged_file_is_made_anew(session, spoil):
    session.invert(EXAMPLE.caption)
    file, = session.folder.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    with count_units(session.pipe) as units: session.invert(EXAMPLE.caption)
    assert units.forwards > 0 and 'made anew' in session.notes[0]
    assert Inversion.load(file).prompt == EXAMPLE.caption


def test_a_file_of_another_inversion_is_not_used(session):
    session.invert('a cat')
    other, = session.folder.iterdir()
    shutil.copy(other, session.folder/f'{session.digest(EXAMPLE.caption, 2, 3.)}.safetensors')
    assert session.invert(EXAMPLE.caption).prompt == EXAMPLE.caption
    assert "belongs to the caption 'a cat'" in session.notes[0]


def test_a_folder_that_cannot_be_written(session, tmp_path):
    (tmp_path/'file').write_text('')
    session.folder = tmp_path/'file'/'kept'
    assert session.invert(EXAMPLE.caption) is session.inv
    assert 'could not be saved' in session.notes[0]


def test_the_history_costs_nothing(session):
    session.invert(EXAMPLE.caption)
    mask = Image.radial_gradient('L').point(lambda v: 255*(v < 90))
    other = mask.transpose(Image.Transpose.FLIP_TOP_BOTTOM).rotate(45)
    entries = [session.edit(DOG, **kw) for kw in ({}, dict(tau_self=0.8), dict(mask=mask), dict(mask=other))]
    session.start(Image.new('RGB', (64, 64), 'white'))
    session.invert('a dog')
    with count_units(session.pipe) as units:
        session.recall(entries[2])
        assert session.inv.prompt == EXAMPLE.caption and session.shown is entries[2]
        assert session.edit(DOG, mask=mask.copy()) is entries[2]
    assert units.forwards == 0 and len(session.history) == len(set(e.key for e in session.history)) == 4


# ---- The widgets

def test_mistakes_are_said(editor):
    ed, u = editor, editor.ui
    u.caption.value = '  '
    press(ed, 'invert')
    assert 'The caption is empty' in said(ed) and 'role="alert"' in u.said.value
    u.caption.value = EXAMPLE.caption
    press(ed, 'invert')
    assert 'Inverted' in said(ed) and ed.session.inv
    ed.weights = {'tiger': 2.}  # as if the word had been there
    press(ed, 'edit')
    assert "'tiger' is not in the prompt" in said(ed)
    ed.weights, u.target.value = {}, ' '
    press(ed, 'edit')
    assert 'The target is empty' in said(ed)
    ed.take(type('upload', (), dict(value=({'name': 'my notes.txt', 'content': b'hello'},))), ed.begin)
    assert 'My notes.txt is not a picture' in said(ed)
    assert ed.session.inv.prompt == EXAMPLE.caption and not ed.session.history
    assert not u.edit.disabled and not u.invert.disabled


def test_uploads_of_both_versions():
    png = EXAMPLE_FILE.read_bytes()
    for value in ({'cat.png': {'metadata': {'name': 'cat.png', 'type': 'image/png', 'size': len(png)}, 'content': png}},
                  ({'name': 'cat.png', 'type': 'image/png', 'size': len(png), 'content': memoryview(png)},)):
        assert (np.asarray(read_upload(value)) == np.asarray(load_image(EXAMPLE_FILE))).all()


def test_words_target_and_history(editor):
    ed, u = editor, editor.ui
    press(ed, 'invert')
    u.words.children[1].click()
    u.new.value = 'dog'
    assert (u.target.value, u.old_word.value, u.new_word.value) == (DOG, 'cat', 'dog')
    u.weight.value = 2.
    press(ed, 'edit')
    assert ed.session.shown.settings['weights'] == {'dog': 2.} and 'edited.png' in u.files.value
    u.target.value = 'a cat in the snow'
    assert ed.weights == {}, 'the weight goes with its word'
    u.where.value, u.kind.value, u.tau_self.value = 'everywhere', 'refine', 0.2
    press(ed, 'edit')
    with count_units(ed.session.pipe) as units:
        u.history.children[0].click()
        knobs = u.target, u.kind, u.where, u.tau_self, u.weight
        assert [w.value for w in knobs] == [DOG, 'replace', 'what differs', 0.4, 2.]
        press(ed, 'edit')
    assert units.forwards == 0 and len(u.history.children) == 2


def test_edits_made_from_python_are_at_home(editor):
    ed, u = editor, editor.ui
    press(ed, 'invert')
    for blend, shown in ((None, ('', '')), ('balloon', ('balloon', 'balloon')), ('cat', ('cat', '')),
                         (('cat', ''), ('cat', ''))):
        entry = ed.session.edit(DOG, blend=blend)
        ed.show()
        ed.recall(entry)
        assert not said(ed) and ed.session.shown is entry and u.target.value == DOG
        assert u.where.value == ('at words' if blend else 'what differs')
        if blend: assert (u.old_word.value, u.new_word.value) == shown
        press(ed, 'edit')
        assert ed.session.shown is entry, 'the knobs show the same edit'


def test_what_is_transparent_in_a_mask_is_not_painted(editor):
    stroke = Image.new('RGBA', (64, 64))
    stroke.paste('white', (0, 0, 64, 16))
    buf = io.BytesIO()
    stroke.save(buf, 'PNG')
    upload = type('upload', (), dict(value=({'name': 'mask.png', 'content': buf.getvalue()},)))
    editor.take(upload, lambda im: setattr(editor, 'seen', np.asarray(im.convert('L'))), 'black')
    assert (editor.seen[:16] == 255).all() and (editor.seen[16:] == 0).all()


@pytest.mark.parametrize('mask', ['!!!!', 'AAAA', '', 'é', '\udcff', '"><script>', huge_png()])
def test_a_malformed_mask_is_a_line_in_the_editor(tiny, mask):
    "Not a traceback, and nothing of it becomes a part of the page."
    tiny.ui.where.value = 'painted'
    for begin in 'data:image/png;base64,', '', 'https://example.org/x.png?':
        tiny.ui.mask.value = begin + mask
        tiny.show_paint()
        assert '<script' not in tiny.ui.paint.value and 'example.org' not in tiny.ui.paint.value
        press(tiny, 'edit')
        line = 'The painted mask is' if begin.startswith('data') else 'Nothing is painted'
        assert said(tiny).startswith(line) and said(tiny).isprintable()


@pytest.mark.parametrize('text', ['x'*20_000, 'a caf\udce9', '<b>&"'])
def test_what_a_field_cannot_take_is_a_line_in_the_editor(tiny, text):
    tiny.say()
    tiny.ui.target.value = text
    assert ('the prompt' in said(tiny).lower()) == (text != '<b>&"')
    tiny.ui.new.value = text
    tiny.ui.caption.value = text
    press(tiny, 'invert')
    assert '<b>' not in tiny.ui.said.value + tiny.ui.picture.value


def test_nothing_from_data_becomes_html(monkeypatch):
    evil = '<img src=x onerror="alert(1)">\'"'
    im, m = Image.new('RGB', (90, 90)), np.eye(4)
    for fig in (show.compare(im, im, (evil, evil)), show.scrub([[im, im]], [evil], [evil, evil]),
                show.word_lights(im, [evil], [m]), show.switch_grid([[im]], [evil], [evil], (evil, evil))):
        assert evil not in fig.data and '<img src=x' not in fig.data and 'onerror="alert' not in fig.data
    assert '<img src=x' not in show.download(b'x', evil, evil) + show.paint_html(im, 'data:image/png;base64,' + evil)
    shown = []
    monkeypatch.setattr('IPython.display.display', shown.append)
    show_images([im], [evil])
    page = shown[0].data
    assert '<img src=x' not in page and html.escape(evil) in page


def test_detailed_photographs_can_be_shown(editor):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (768, 768, 3), np.uint8))
    editor.session.image = editor.session.back = noise
    editor.show()
    assert 'type="range"' in editor.ui.picture.value


def test_nothing_else_can_be_pressed_while_a_job_runs(editor):
    ed, u = editor, editor.ui
    u.T.value = 50
    u.invert.click()
    assert ed.thread.is_alive() and not u.cancel.disabled
    assert u.invert.disabled and u.edit.disabled and u.upload.disabled
    u.invert.click()  # no second job
    u.cancel.click()
    ed.wait(30)
    assert 'Stopped' in said(ed) and ed.session.inv is None and u.cancel.disabled and not u.invert.disabled


# ---- In JupyterLab


@pytest.fixture
def lab(tmp_path):
    "The address of a JupyterLab of its own, in a folder with a notebook of one cell."
    need_browser('playwright', 'jupyterlab')
    with screenshot.lab(tmp_path, 'T=5') as url: yield url


@pytest.mark.timeout(180)
def test_in_jupyterlab(lab, tmp_path):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        page = browser.new_page(viewport=dict(width=1100, height=1300))
        wrong = []
        page.on('pageerror', lambda e: wrong.append(str(e)))
        ed = screenshot.open_editor(page, lab)
        def button(name): return ed.get_by_role('button', name=name, exact=True).first

        with page.expect_file_chooser() as chooser: ed.get_by_role('button', name='Upload a picture').click()
        chooser.value.set_files(EXAMPLE_FILE)
        page.wait_for_function(f'document.querySelector(".nulltext-caption input").value == "{EXAMPLE.caption}"')
        button('Invert').click()
        button('cat').click()
        page.wait_for_function('document.querySelector(".nulltext-new input").value == "cat"')
        inverted = ed.locator('.nulltext-picture img').first.get_attribute('src')
        ed.locator('.nulltext-new input').fill('dog')
        button('Edit').click()
        ed.locator('a[download="edited.png"]').wait_for()
        page.wait_for_function('before => document.querySelector(".nulltext-picture img").src != before', arg=inverted)
        assert ed.locator('.nulltext-target input').input_value() == DOG
        with page.expect_download() as file: ed.locator('a[download="edited.png"]').click()
        file.value.save_as(tmp_path/'edited.png')
        data = (tmp_path/'edited.png').read_bytes()
        assert data[:4] == b'\x89PNG' and file.value.suggested_filename == 'edited.png'
        dog = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'), float)

        saved = ed.locator('a[download="edited.png"]').get_attribute('href')
        button('painted').click()  # and where a stroke was painted, and only there, the next edit changes
        canvas = ed.locator('canvas.nulltext-canvas')
        canvas.scroll_into_view_if_needed()
        page.wait_for_function('document.querySelector(".nulltext-canvas").parentNode.dataset.ready')
        box = canvas.bounding_box()
        page.mouse.move(box['x'] + 0.7*box['width'], box['y'] + 0.4*box['height'])
        page.mouse.down()
        page.mouse.move(box['x'] + 0.9*box['width'], box['y'] + 0.4*box['height'], steps=5)
        page.mouse.up()
        button('Edit').click()
        page.wait_for_function('document.querySelectorAll(".nulltext-thumb").length == 2')
        new = 'before => document.querySelector("a[download=\'edited.png\']").href != before'
        page.wait_for_function(new, arg=saved)
        with page.expect_download() as file: ed.locator('a[download="edited.png"]').click()
        painted = np.asarray(Image.open(file.value.path()).convert('RGB'), float)
        with page.expect_download() as file: ed.locator('a[download="inversion.safetensors"]').click()
        shutil.copy(file.value.path(), tmp_path/'inversion.safetensors')
        browser.close()
    assert not wrong
    inv = Inversion.load(tmp_path/'inversion.safetensors')
    photo = np.asarray(as_image(inv.photo), float)
    def cat(im): return abs(im - photo)[there].mean()  # how far the picture is from the photograph where the cat is
    there = EXAMPLE.masks(len(photo))[0] > 0.5
    assert inv.prompt == EXAMPLE.caption and dog.shape == photo.shape
    assert cat(dog) > 5 and cat(painted) < 1, 'the stroke did not touch the cat, so the cat stays'
