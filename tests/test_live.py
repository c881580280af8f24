"Page Live: its arithmetic against the library's, and the panel in a real browser, on the site under a sub-path."
import io, json, os, re, shutil, subprocess
from base64 import b64decode
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import NEEDED, ROOT
from PIL import Image

from nulltext_nb.world.scenes import EXAMPLE

pytestmark = pytest.mark.xdist_group('site')  # it is built once

CAT = EXAMPLE.caption
TEXTS = ['', CAT, 'A  Cat, and\tA RED balloon!', "the robot's 12 cakes",
         'un château près de la forêt ☃', 'x '*60, 'an ice-cold fish']
PAIRS = [(CAT, 'a dog and a red balloon on grass'), (CAT, 'a cat on grass'),
         (CAT, 'a cat and a golden balloon on the beach'),
         ('a cat on grass', 'a watercolour of a striped cat on grass'),
         ('a house in the snow', 'a castle in a forest at sunset'),
         ('', 'a cat'), ('a cat', ''), ('a pineapple on grass', 'a watermelon and a pineapple on grass')]
EDITS = [dict(target=CAT.replace('red', 'blue'), blend='balloon', tau_self=0.8),
         dict(target=CAT.replace('cat', 'rabbit'), blend=('cat', 'rabbit')),
         dict(target=CAT.replace('on grass', 'on the beach'), tau_cross=0.9),
         dict(target=CAT, weights={'red': -0.5}, tau_self=0.4)]
IN_JS = dict(tau_cross='tauCross', tau_self='tauSelf')


def lists(x): return x.tolist() if hasattr(x, 'tolist') else x


def of_words(tok):
    "Tokens, alignments, factors and words to blend by, as the library has them."
    from nulltext_nb.attention import prompt_words
    from nulltext_nb.prompt2prompt import align_words, blend_tokens, word_weights
    texts = [dict(text=t, words=prompt_words(tok, t), ids=tok(t, truncation=True, padding='max_length').input_ids)
             for t in TEXTS]
    aligned = []
    for source, target in PAIRS:
        for kind in 'replace', 'refine':
            A, own = align_words(tok, source, target, kind)
            aligned.append(dict(source=source, target=target, kind=kind, A=lists(A), own=lists(own)))
    weighted = [dict(prompt=CAT, weights=w, factors=lists(word_weights(tok, CAT, w)))
                for w in ({}, {'red': 3, 'cat': -1})]
    blends = [dict(source=CAT, target=PAIRS[0][1], blend=b, tokens=blend_tokens(tok, CAT, PAIRS[0][1], b))
              for b in (None, 'balloon', 'cat', ('cat', 'dog'), ('red balloon', ''))]
    return dict(texts=texts, aligned=aligned, weighted=weighted, blends=blends)


def of_steps(pipe, rng):
    "The schedule, times, a step, guidance and masks."
    import torch
    from nulltext_nb.inversion import guide
    from nulltext_nb.prompt2prompt import blend_mask
    from nulltext_nb.scheduler import ddim_pairs, ddim_step
    z, eps, eps_u = torch.from_numpy(rng.normal(size=(3, 50)))
    step = dict(z=z, eps=eps, eps_u=eps_u, w=3.5, abar_t=0.3, abar_s=0.6,
                there=ddim_step(z, eps, 0.3, 0.6), guided=guide(eps_u, eps, 3.5))
    maps = torch.from_numpy(rng.random((3, 16, 16))**4).float()
    masks = [dict(map=lists(m.flatten()), threshold=s, mask=lists(blend_mask(m[None], (16, 16), s).flatten()))
             for m, s in zip(maps, (0.3, 0.4, 1.))]
    rounded = [(s, T, round(s*T)) for s in (0, 0.1, 0.25, 0.35, 0.5, 0.8, 1) for T in (4, 5, 10, 20, 50)]
    return dict(abar=lists(pipe.scheduler.alphas_cumprod), step={k: lists(x) for k, x in step.items()}, masks=masks,
                pairs=[(T, ddim_pairs(pipe.scheduler, T)) for T in (1, 7, 20, 50)], rounded=rounded)


def an_edit(pipe, inv, target, **knobs):
    "An edit by the library, its picture and its last mask, and its knobs in the names of the panel."
    from nulltext_nb.pipeline import decode
    from nulltext_nb.prompt2prompt import prompt_to_prompt
    z, ctl = prompt_to_prompt(pipe, inv, [target], **knobs)
    mask = lists(ctl.last_mask[0]) if ctl.blends else None
    return dict(target=target, knobs={IN_JS.get(k, k): x for k, x in knobs.items()} | dict(w=inv.w), mask=mask,
                picture=lists(decode(pipe, z, 'pt')[0]))


def a_run(pipe, image, T):
    "An inversion and edits by the library."
    import torch
    from nulltext_nb.attention import AttentionStore, controlled, fold
    from nulltext_nb.pipeline import embed, encode
    from nulltext_nb.solvers import fit_residual, implicit_invert
    from nulltext_nb.store import pack
    z0, cond, null = encode(pipe, image), embed(pipe, CAT), embed(pipe, '')
    path = implicit_invert(pipe, z0, cond, T)
    seen = []
    with controlled(pipe, AttentionStore()) as store:
        found = fit_residual(pipe, path, cond, null, 3., cb=lambda step: seen.append(store.now.copy()))
    wide = [m[1] for now in seen for m in now.values() if m.shape[-2] == 256]  # row 1 saw the caption
    maps = fold(torch.stack(wide).sum(0)*len(seen)/len(wide), (16, 16))
    inv = pack(pipe, found.path, found.phis, CAT, 3., extra=found.extra)
    pixels = np.asarray(image).transpose(2, 0, 1)/255
    return dict(pixels=lists(pixels), caption=CAT, T=T, z_T=lists(path[0][0]), maps=lists(maps),
                edits=[an_edit(pipe, inv, **e) for e in EDITS])


@pytest.fixture(scope='session')
def panel(docs):
    "What the panel fetches, as it is deployed."
    folder = docs/'site_libs'/'live'
    if not (folder/'model.json').exists():
        (pytest.fail if NEEDED else pytest.skip)('npm could not fetch onnxruntime-web: the site has no panel')
    return folder


def test_arithmetic_is_the_librarys(panel, tmp_path):
    "Schedule, tokens, alignment, a step, masks; and, with the graphs in the panel's own engine, inversion and edits."
    from nulltext_nb.pipeline import load_pipe
    node = shutil.which('node')
    if not node: (pytest.fail if NEEDED else pytest.skip)('node is not installed')
    pipe = load_pipe(device='cpu')
    numbers = of_words(pipe.tokenizer) | of_steps(pipe, np.random.default_rng(0))
    numbers['runs'] = [a_run(pipe, EXAMPLE.draw(), 5)]
    file = tmp_path/'numbers.json'
    file.write_text(json.dumps(numbers), encoding='utf-8')
    env = os.environ | dict(NUMBERS=str(file), PANEL=str(panel))
    res = subprocess.run([node, '--test', '--test-reporter=tap', ROOT/'tools'/'live'/'test.mjs'], env=env, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not res.returncode, res.stdout[-6000:]
    print('\n'.join(re.findall(r'# (.* dB)', res.stdout)))


def test_it_is_light(panel):
    "The engine and the model together."
    files = [p for p in panel.iterdir() if p.suffix in ('.gz', '.mjs', '.js', '.json', '.css')]
    assert sum(p.stat().st_size for p in files) <= 25e6


# ---- In a browser

class Quiet(SimpleHTTPRequestHandler):
    "A server that says nothing."
    def log_message(self, *args): pass


@pytest.fixture(scope='session')
def site(docs, panel, tmp_path_factory):
    "The site under a sub-path, as it is deployed: the address of its page Live."
    root = tmp_path_factory.mktemp('host')
    (root/'nulltext_nb').symlink_to(docs)
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=root))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/nulltext_nb/app/live.html'
    server.shutdown()


class Visitor:
    "A reader at the panel, and what the browser said and asked for."
    def __init__(self, browser, address, **screen):
        self.page = browser.new_page(reduced_motion='reduce', **screen)
        self.said, self.asked = [], []
        self.page.on('console', lambda m: m.type == 'error' and self.said.append(m.text))
        self.page.on('pageerror', lambda e: self.said.append(str(e)))
        self.page.on('request', lambda r: self.asked.append(r.url))
        self.page.goto(address)
        self.told('Press Invert')
    def told(self, start, seconds=120):
        "Wait until the line of the panel begins like this."
        says = "start => document.querySelector('.live-status')?.textContent.startsWith(start)"
        try: self.page.wait_for_function(says, arg=start, timeout=1000*seconds)
        except Exception: pytest.fail(f'{start!r} was expected, not {self.line()!r}')
    def line(self): return self.page.locator('.live-status').inner_text()
    def press(self, name): self.page.get_by_role('button', name=name, exact=True).click()
    def field(self, name): return self.page.get_by_label(name, exact=True)
    def pixels(self, what):
        "A canvas as an array (H,W,3)."
        url = self.page.evaluate("what => document.querySelector(what).toDataURL()", what)
        return np.asarray(Image.open(io.BytesIO(b64decode(url.split(',')[1]))).convert('RGB')).astype(float)


FEW = '#live?scene=0&steps=5'  # a link that asks for few steps


@pytest.fixture
def visit(browser, site):
    "Come to the panel."
    made = []
    def come(link=FEW, **screen):
        made.append(Visitor(browser, site + link, **screen))
        return made[-1]
    yield come
    for visitor in made: visitor.page.close()


def test_the_whole_way(visit, site, tmp_path):
    "Choose, invert, light up a word, change one, edit, compare, download, link; and nothing leaves the site."
    v = visit()
    v.press('Invert')
    v.told('Inverted')
    assert v.page.locator('.live-chips button').first.inner_text() == CAT.split()[0]
    v.press('balloon')
    assert v.page.locator('.live-light').is_visible()
    v.field('What it should show').fill(CAT.replace('red', 'blue'))
    v.press('Edit')
    v.told('Done')
    before, after = v.pixels('.live-stage canvas'), v.pixels('.live-after')
    balloon = EXAMPLE.masks()[1] > 0.9
    moved = abs(after - before).mean(-1)
    assert moved[balloon].mean() > 3*moved[EXAMPLE.masks().sum(0) < 0.02].mean()
    assert (after - before)[balloon][:, 2].mean() > 20  # bluer
    with v.page.expect_download() as got: v.press('Download')
    assert Image.open(got.value.path()).size == before.shape[:2] and got.value.suggested_filename.endswith('.png')
    v.press('Copy link')
    again = visit('#' + v.page.evaluate('location.hash').lstrip('#'))
    assert again.field('What it should show').input_value() == CAT.replace('red', 'blue')
    host = site.split('/app/')[0]
    assert not v.said and not [u[:80] for u in v.asked if not u.startswith((host, 'data:', 'blob:'))]


def test_stopped_and_started_again(visit):
    v = visit()
    v.press('Invert')
    v.told('Inverting')
    v.press('Cancel')
    v.told('Stopped', 2)
    v.press('Invert')
    v.told('Inverted')


def test_bad_input(visit, tmp_path):
    "Each is one line in the panel, and the next press works."
    v, own = visit(), 'My own'
    (tmp_path/'notes.png').write_text('no picture')
    v.field(own).set_input_files(tmp_path/'notes.png')
    v.told('notes.png is no picture')
    Image.new('RGB', (9000, 6000)).save(tmp_path/'vast.png')
    v.field(own).set_input_files(tmp_path/'vast.png')
    v.told('vast.png has more than')
    Image.new('RGBA', (300, 100), (0, 0, 0, 0)).save(tmp_path/'clear.png')
    v.field(own).set_input_files(tmp_path/'clear.png')
    v.told('Say what the picture shows')
    assert (v.pixels('.live-stage canvas') == 255).all()
    v.press('Invert')
    v.told('say what the picture shows')
    v.field('What the picture shows').fill('a pengin on grass' + ' and a cat'*200)
    v.press('Invert')
    v.told('The model has never seen “pengin”; it knows penguin')
    v.page.locator('summary', has_text='Settings').click()
    v.field('The picture may change').select_option('paint')
    v.press('Edit')
    v.told('nothing is painted')
    v.page.locator('.live-paint').scroll_into_view_if_needed()
    box = v.page.locator('.live-paint').bounding_box()
    v.page.mouse.move(box['x'] + 100, box['y'] + 100)
    v.page.mouse.down()
    v.page.mouse.move(box['x'] + 140, box['y'] + 140, steps=4)
    v.page.mouse.up()
    v.field('What it should show').fill('a cat on grass')
    v.press('Edit')
    v.told('Done')


def test_files_that_do_not_come(visit, panel):
    "A file that is missing, or cut short, is said; at the next press all is well."
    v = visit()
    cut = (panel/'decoder.onnx.gz').read_bytes()[:-100]
    for answer, line in ((dict(status=404), 'decoder.onnx.gz cannot be fetched (404)'),
                         (dict(status=200, body=cut), 'decoder.onnx.gz came cut short')):
        v.page.context.route('**/decoder.onnx.gz*', lambda route: route.fulfill(**answer))
        v.press('Invert')
        v.told(line)
        v.page.context.unroute('**/decoder.onnx.gz*')
    v.press('Invert')
    v.told('Inverted')


def test_for_everyone(visit):
    "axe-core's rules after an edit, in the light and in the dark; nothing wider than a phone; keys alone will do."
    from test_site import AXE, PHONE
    import axe_playwright_python
    v = visit(viewport=PHONE)
    v.page.get_by_role('button', name='Invert').focus()
    v.page.keyboard.press('Enter')
    v.told('Inverted')
    v.page.get_by_role('button', name='Edit', exact=True).focus()
    v.page.keyboard.press('Enter')
    v.told('Done')
    v.page.locator('summary', has_text='Settings').click()
    assert v.page.evaluate('document.documentElement.scrollWidth') <= PHONE['width']
    v.page.evaluate((Path(axe_playwright_python.__file__).parent/'axe.min.js').read_text(encoding='utf-8'))
    tags = dict(type='tag', values=['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
    assert not v.page.evaluate(AXE, tags)
    v.page.evaluate('smalldocsToggleScheme()')
    v.page.wait_for_function('document.documentElement.classList.contains("quarto-dark")')
    assert not v.page.evaluate(AXE, ['color-contrast'])


def test_opened_as_a_file(browser, docs):
    page = browser.new_page()
    page.goto((docs/'app'/'live.html').as_uri())
    page.get_by_text('python -m http.server').wait_for()
    page.close()
