"Page Live: its arithmetic against the library's, and the panel in a real browser, on the site under a sub-path."
import io, json, os, re, shutil, subprocess
from base64 import b64decode
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from time import sleep

import numpy as np
import pytest
from conftest import BROWSER, BROWSER_FLAGS, MANY, NEEDED, ROOT
from PIL import Image

from nulltext_nb.app.export import LIVE_SCENES, live_facts, live_scene, live_sheets
from nulltext_nb.world.art import HELD_OUT
from nulltext_nb.world.scenes import EXAMPLE, WORLD, random_scene

pytestmark = pytest.mark.xdist_group('site')  # it is built once

CAT = EXAMPLE.caption
TEXTS = ['', CAT, 'A  Cat, and\tA RED balloon!', "the robot's 12 cakes",
         'un château près de la forêt ☃', 'x '*60, 'an ice-cold fish']
PAIRS = [(CAT, 'a dog and a red balloon on grass'), (CAT, 'a cat on grass'),
         (CAT, 'a cat and a golden balloon on the beach'),
         ('a cat on grass', 'a watercolour of a striped cat on grass'),
         ('a house in the snow', 'a castle in a forest at sunset'),
         ('', 'a cat'), ('a cat', ''), ('a pineapple on grass', 'a watermelon and a pineapple on grass')]
EDITS = [dict(target=CAT.replace('red', 'blue')),
         dict(target=CAT.replace('a cat', 'an owl'), seed=3),
         dict(target=CAT.replace('on grass', 'on the beach'), renew=0.8),
         dict(target='a cat on grass'),
         dict(target=CAT.replace('on grass', 'and a green cactus on grass')),
         dict(target=CAT.replace('red', 'blue'), against=0.),
         dict(target=CAT.replace('red', 'blue'), region=['red balloon']),
         dict(target=CAT.replace('a cat', 'an owl'), region=['cat']),
         dict(target=f'a watercolour of {CAT}'),
         dict(target=CAT, weights={'red': -0.5})]
ANYWHERE = [dict(target=CAT.replace('on grass', 'on the beach'), tau_cross=0.9),
            dict(target=CAT, weights={'red': -0.5}, tau_self=0.4)]
IN_JS = dict(tau_cross='tauCross', tau_self='tauSelf')
MADE = [dict(things=[('cat', '')], place='on grass'),
        dict(things=[('car', 'green'), ('tree', '')], place='in the snow', seed=1, join='next to'),
        dict(things=[('owl', 'golden'), ('umbrella', 'pink')], place='at night', seed=2, join='and')]
STYLED = ('pencil drawing', 'watercolour', 'old photo', 'neon sign', 'blueprint')
CAPTIONS = [*PAIRS, ('a cat next to a dog in the snow', 'a dog in the snow'),
            ('a cat', 'a cat with a hat and a red bow'),
            ('a house in front of a tree', 'a red house in front of a big tree'), ('a cat, a dog.', 'a cat; an owl')]


def lists(x): return x.tolist() if hasattr(x, 'tolist') else x


def flat(x): return lists(x.flatten()) if hasattr(x, 'flatten') else x


def of_words(tok):
    "Tokens, alignments, factors and differences of captions, as the library has them."
    from nulltext_nb.attention import prompt_words
    from nulltext_nb.prompt2prompt import align_words, word_weights
    texts = [dict(text=t, words=prompt_words(tok, t), ids=tok(t, truncation=True, padding='max_length').input_ids)
             for t in TEXTS]
    aligned = []
    for source, target in PAIRS:
        for kind in 'replace', 'refine':
            A, own = align_words(tok, source, target, kind)
            aligned.append(dict(source=source, target=target, kind=kind, A=lists(A), own=lists(own)))
    weighted = [dict(prompt=CAT, weights=w, factors=lists(word_weights(tok, CAT, w)))
                for w in ({}, {'red': 3, 'cat': -1})]
    captions = [differences(tok, *pair) for pair in CAPTIONS]
    return dict(texts=texts, aligned=aligned, weighted=weighted, captions=captions)


def differences(tok, source, target):
    "What the library says that two captions say differently, or None where it refuses."
    from nulltext_nb.changes import weighed, what_changed
    try: changes = [vars(c) for c in what_changed(tok, source, target)]
    except ValueError: changes = None
    weights = {'red': 2, 'grass': 0.5}
    return dict(source=source, target=target, changes=changes, weights=weights,
                weighed=[vars(c) for c in weighed(tok, source, target, weights)])


def of_steps(pipe, rng):
    "The schedule, times, a step, guidance and noise."
    import torch
    from nulltext_nb.inversion import guide
    from nulltext_nb.scheduler import ddim_pairs, ddim_step
    z, eps, eps_u = torch.from_numpy(rng.normal(size=(3, 50)))
    step = dict(z=z, eps=eps, eps_u=eps_u, w=3.5, abar_t=0.3, abar_s=0.6,
                there=ddim_step(z, eps, 0.3, 0.6), guided=guide(eps_u, eps, 3.5))
    noise = [dict(seed=s, noise=lists(torch.randn(3072, generator=torch.Generator().manual_seed(s)))) for s in (0, 7)]
    rounded = [(s, T, round(s*T)) for s in (0, 0.1, 0.25, 0.35, 0.5, 0.8, 1) for T in (4, 5, 10, 20, 50)]
    return dict(abar=lists(pipe.scheduler.alphas_cumprod), step={k: lists(x) for k, x in step.items()}, noise=noise,
                pairs=[(T, ddim_pairs(pipe.scheduler, T)) for T in (1, 7, 20, 50)], rounded=rounded)


def of_masks(rng):
    "What masks are made of, on a picture whose colours say little."
    import torch
    from nulltext_nb.finding import outline
    from nulltext_nb.masks import as_image, as_pixels, guided_filter, widened
    from nulltext_nb.restoring import restore
    m, p = torch.from_numpy(rng.random((16, 16))**4).float(), torch.from_numpy(rng.random((128, 128))).float()
    photo, back, edited = [as_image(torch.from_numpy(rng.random((3, 128, 128))).float()) for _ in range(3)]
    made = dict(outline=outline(m, photo), guided=guided_filter(as_pixels(photo), p, 8), widened=widened(p, 3),
                restored=as_pixels(restore(photo, back, edited, p)),
                recoloured=as_pixels(restore(photo, back, edited, p, m)))
    pictures = dict(photo=as_pixels(photo), back=as_pixels(back), edited=as_pixels(edited))
    given = dict(m=m, p=p) | pictures
    return dict(masks={k: flat(x) for k, x in (given | made).items()})


def of_scenes(facts):
    "Scenes that are made, plain and in styles: what lies on the sheets, and the library's picture."
    sheets = live_sheets()
    styled = [dict(MADE[i%2], seed=i%4, style=style) for i, style in enumerate(STYLED)]
    return dict(made=[a_made(facts, sheets, **made) for made in [*MADE, *styled]])


def a_made(facts, sheets, things, place, seed=0, **more):
    "A scene by the library, its picture without a style, and the parts that the page finds on the sheets."
    def part(name, column, row, side):
        box = [side*k for k in (column, row, column + 1, row + 1)]
        return flat(np.moveaxis(np.asarray(sheets[f'{name}.webp'].crop(box)), -1, 0))
    scene, stand, words = live_scene(things, place, seed=seed, **more), facts['stands'][len(things) - 1], facts['words']
    at = [(facts['looks'][noun].index(look), words['nouns'].index(noun)) for noun, look in things]
    def stood(spot, x, noun):
        drawing = part(f'things{len(things)}', *spot, stand['side'])
        return dict(drawing=drawing, x=x, y=stand['y'], w=stand['widths'][noun])
    standing = [stood(spot, x, noun) for spot, x, (noun, _) in zip(at, stand['xs'], things)]
    told = dict(join=scene.join, style=scene.style, place=place)
    return dict(ground=part('places', words['places'].index(place), seed, 128), things=standing,
                chance=part('chance', seed, 0, 128), words=[dict(noun=noun, look=look) for noun, look in things],
                caption=scene.caption, plain=bytes_of(replace(scene, style='')), picture=bytes_of(scene), **told)


def bytes_of(scene): return flat(np.moveaxis(np.asarray(scene.draw()), -1, 0))


def a_mask(size=128):
    "A disc, as one paints it."
    y, x = np.mgrid[:size, :size]
    return ((x - 0.3*size)**2 + (y - 0.6*size)**2 < (0.2*size)**2).astype(np.float32)


def an_edit(pipe, inv, target, region=None, **knobs):
    "An edit by the library, its picture and its last mask, and its knobs in the names of the panel."
    from nulltext_nb.masks import as_image, as_pixels
    from nulltext_nb.pipeline import decode
    from nulltext_nb.region import edit_region
    from nulltext_nb.restoring import give_back
    z, ctl = edit_region(pipe, inv, target, region, **knobs)
    picture = give_back(pipe, inv, as_image(inv.photo), decode(pipe, z)[0], ctl)
    told = {IN_JS.get(k, k): x for k, x in knobs.items()} | dict(w=inv.w, region=flat(region))
    return dict(target=target, knobs=told, mask=ctl and flat(ctl.mask), picture=flat(as_pixels(picture)))


def a_run(pipe, image, caption, edits, T):
    "An inversion and edits by the library."
    from nulltext_nb.changes import parts_of
    from nulltext_nb.editing import invert
    from nulltext_nb.finding import find_things, source_maps
    from nulltext_nb.pipeline import decode
    inv = invert(pipe, image, caption, T=T, w=3., progress=False)
    things = [p.phrase for p in parts_of(pipe.tokenizer, caption, 'thing')]
    found = find_things(pipe, inv, things, source_maps(pipe, inv))
    return dict(pixels=flat(inv.photo), caption=caption, T=T, z_T=flat(inv.path[0]),
                back=flat(decode(pipe, inv.path[-1][:1], 'pt')),
                things=[dict(phrase=phrase, mask=flat(m)) for phrase, m in zip(things, found)],
                edits=[an_edit(pipe, inv, **e) for e in edits])


def pictures():
    "Scenes by the artist whom the model has never seen, and an edit of each: those of the panel, and others by chance."
    for scene, *pairs in LIVE_SCENES[1:]: yield scene, scene.swap(*pairs[0])
    rng = np.random.default_rng(0)
    while True:
        scene = random_scene(rng, [HELD_OUT], styled=0.)
        noun = scene.things[0].noun
        other = rng.choice([word for word in WORLD.nouns if word not in scene.caption])
        yield scene, scene.swap(noun, other) if not scene.things[0].look else scene.swap(scene.things[0].look, '')


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
    rng = np.random.default_rng(0)
    numbers = of_words(pipe.tokenizer) | of_steps(pipe, rng) | of_masks(rng)
    numbers |= of_scenes(live_facts(pipe))
    painted = [dict(target=CAT.replace('a cat', other), region=a_mask()) for other in ('an owl', 'a blue cat')]
    anywhere = [dict(region='all', **e) for e in ANYWHERE]
    numbers['runs'] = [a_run(pipe, EXAMPLE.draw(), CAT, [*EDITS, *painted, *anywhere], 5)]
    for scene, edited in islice(pictures(), MANY['panel_pictures']):
        numbers['runs'].append(a_run(pipe, scene.draw(), scene.caption, [dict(target=edited.caption)], 20))
    file = tmp_path/'numbers.json'
    file.write_text(json.dumps(numbers), encoding='utf-8')
    env = os.environ | dict(NUMBERS=str(file), PANEL=str(panel))
    res = subprocess.run([node, '--test', '--test-reporter=tap', ROOT/'tools'/'live'/'test.mjs'], env=env, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not res.returncode, res.stdout[-6000:]
    print('\n'.join(re.findall(r'# (.* dB)', res.stdout)))


BUILDS = dict(wasm=('ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm.gz'),
              webgpu=('ort.jspi.bundle.min.mjs', 'ort-wasm-simd-threaded.jspi.wasm.gz'))


@pytest.mark.parametrize('engine', BUILDS)
def test_it_is_light(panel, engine):
    "One build of the engine, the model, the pictures to choose from and the sheets of made scenes."
    others = [name for build, names in BUILDS.items() if build != engine for name in names]
    files = [p for p in panel.iterdir() if p.name not in others]
    size = sum(p.stat().st_size for p in files)
    print(f'{engine}: {size/1e6:.1f} MB')
    assert size <= 25e6


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
    def __init__(self, browser, address, missing=None, **screen):
        self.page = browser.new_page(reduced_motion='reduce', **screen)
        if missing: self.page.route(f'**/{missing}*', lambda route: route.fulfill(status=404))
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
    assert moved[balloon].mean() > 20 and moved[:, :64].max() <= 1  # the balloon stands on the right
    assert (after - before)[balloon][:, 2].mean() > 20  # bluer
    with v.page.expect_download() as got: v.press('Download')
    assert Image.open(got.value.path()).size == before.shape[:2] and got.value.suggested_filename.endswith('.png')
    v.press('Copy link')
    again = visit('#' + v.page.evaluate('location.hash').lstrip('#'))
    assert again.field('What it should show').input_value() == CAT.replace('red', 'blue')
    host = site.split('/app/')[0]
    assert not v.said and not [u[:80] for u in v.asked if not u.startswith((host, 'data:', 'blob:'))]


def test_an_edit_inverts_first(visit):
    "One press does both, and says below its button what it does."
    v = visit()
    v.field('What it should show').fill(CAT.replace('red', 'blue'))
    v.press('Edit')
    v.told('Inverting')
    below = "() => document.querySelector('.live-status').parentElement.previousElementSibling.textContent"
    assert v.page.evaluate(below).startswith('Edit')
    v.told('Editing')
    v.told('Done')
    assert abs(v.pixels('.live-after') - v.pixels('.live-stage canvas')).max() > 20
    assert v.page.locator('.live-chips button').first.inner_text() == CAT.split()[0]  # as after Invert
    v.field('What it should show').fill(CAT.replace('red', 'green'))
    v.press('Edit')
    v.told('Editing')  # not inverted again
    v.told('Done')
    v.field('What the picture shows').fill('a cat')  # another caption: what was found is gone
    v.press('Edit')
    v.told('Inverting')
    v.press('Cancel')
    v.told('Stopped', 2)


def test_stopped_and_started_again(visit):
    v = visit()
    v.press('Invert')
    v.told('Inverting')
    v.press('Cancel')
    v.told('Stopped', 2)
    v.press('Invert')
    v.told('Inverting')
    v.page.locator('.live-scenes input[type=radio]').nth(1).click()
    v.told('Press Invert')
    v.press('Invert')
    v.told('Inverted')


def test_bad_input(visit, tmp_path):
    "Each is one line in the panel, and the next press works."
    v, own = visit(), 'My own'
    (tmp_path/'notes.png').write_text('no picture')
    v.field(own).set_input_files(tmp_path/'notes.png')
    v.told('notes.png is no picture')
    Image.new('1', (12_000, 9000)).save(tmp_path/'vast.png')
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


def test_where(visit):
    "A region by words; words of neither caption are said, and are no error of the engine's."
    v = visit()
    v.press('Invert')
    v.told('Inverted')
    v.page.locator('summary', has_text='Settings').click()
    v.field('The picture may change').select_option('named')
    v.field('Words of a caption, with commas between').fill('memory')
    v.press('Edit')
    v.told('“memory” is in neither caption')
    v.field('Words of a caption, with commas between').fill('cat')
    v.field('What it should show').fill(CAT.replace('a cat', 'an owl'))
    v.press('Edit')
    v.told('Done')


def test_a_scene_is_made(visit, tmp_path):
    "Thing, look and place; the network may be gone once all is loaded; and an animation is its first picture."
    v = visit()
    v.page.locator('summary', has_text='Make a scene').click()
    for name, word in dict(Thing='car', Look='green', Place='in the snow').items(): v.field(name).select_option(word)
    v.told('Press Invert')
    assert v.field('What the picture shows').input_value() == 'a green car in the snow'
    drawn = v.pixels('.live-stage canvas')
    middle = drawn[80:100, 44:84].mean((0, 1))
    assert middle[1] > middle[0] and middle[1] > middle[2], 'the car is not green'
    v.press('Invert')
    v.told('Inverted')
    v.page.context.set_offline(True)
    v.field('What it should show').fill('a red car in the snow')
    v.press('Edit')
    v.told('Done')
    v.page.context.set_offline(False)
    still = [Image.new('RGB', (128, 128), c) for c in ('red', 'blue')]
    still[0].save(tmp_path/'moves.gif', save_all=True, append_images=still[1:], duration=10_000)
    v.field('My own').set_input_files(tmp_path/'moves.gif')
    v.told('Say what the picture shows')
    assert (v.pixels('.live-stage canvas')[64, 64] == (255, 0, 0)).all()


def test_a_link_brings_the_made_scene_back(visit):
    "Two things in a style, as the library draws them; others see the same, or the first picture."
    v = visit()
    first = v.pixels('.live-stage canvas')
    v.page.locator('summary', has_text='Make a scene').click()
    chosen = {'Thing': 'owl', 'Look': 'golden', 'Beside it': 'next to', 'Second thing': 'owl', 'Place': 'at night',
              'View of the place': '2', 'Style': 'old photo'}
    for name, word in chosen.items(): v.field(name).select_option(word)
    v.told('two things called owl')
    v.field('Second thing').select_option('umbrella')
    v.field('Its look').select_option('pink')
    v.told('Press Invert')
    made = live_scene([('owl', 'golden'), ('umbrella', 'pink')], 'at night', seed=2, join='next to', style='old photo')
    v.page.wait_for_function('caption => document.querySelector(".live input[type=text]").value === caption',
                             arg=made.caption)
    drawn = v.pixels('.live-stage canvas')
    assert psnr(drawn, np.asarray(made.draw())) > 35
    v.field('Second thing').select_option('owl')
    v.told('two things called owl')
    v.press('Copy link')  # of what is shown, not of what is asked for
    hash = v.page.evaluate('location.hash')
    again = visit(hash)
    assert again.field('What the picture shows').input_value() == made.caption
    assert (again.pixels('.live-stage canvas') == drawn).all()
    unknown = hash.replace('umbrella', 'unicorn')
    for other in visit(unknown), visit(hash, missing='places.webp'), visit(FEW.replace('=0', '=length')):
        assert (other.pixels('.live-stage canvas') == first).all()
        assert other.field('What the picture shows').input_value() == CAT


def test_the_picture_asked_for_last_wins(visit):
    "One of the eight comes late, after a scene that is made."
    v, late = visit(), []
    v.page.route('**/scene1.png*', lambda route: late.append(route))
    v.page.locator('.live-scenes input[type=radio]').nth(1).click()
    while not late: v.page.wait_for_timeout(50)
    v.page.locator('summary', has_text='Make a scene').click()
    v.press('Draw')
    caption = v.field('What the picture shows')
    v.page.wait_for_function('cat => document.querySelector(".live input[type=text]").value !== cat', arg=CAT)
    made, drawn = caption.input_value(), v.pixels('.live-stage canvas')
    late[0].continue_()
    v.page.wait_for_timeout(500)
    assert caption.input_value() == made and (v.pixels('.live-stage canvas') == drawn).all()


def psnr(a, b): return -10*np.log10(np.mean(((a - b)/255.)**2))


def resident():
    "Bytes of the largest renderer among our browser's processes."
    def status(pid): return dict(re.findall(r'^(\w+):\s*(\d+)', Path(f'/proc/{pid}/status').read_text(), re.M))
    parent, size = {}, {}
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            told, command = status(entry.name), (entry/'cmdline').read_text()
        except OSError: continue  # it has ended
        parent[entry.name] = told['PPid']
        if '--type=renderer' in command: size[entry.name] = 1024*int(told['VmRSS'])
    def ours(pid): return pid == str(os.getpid()) or pid in parent and ours(parent[pid])
    return max(bytes for pid, bytes in size.items() if ours(pid))


@pytest.mark.skipif(not Path('/proc').exists(), reason='memory is read from /proc')
def test_many_edits(visit):
    "Memory stays as it is, edit after edit."
    v, sizes = visit(), []
    v.press('Invert')
    v.told('Inverted')
    for i in range(MANY['presses']):
        v.field('What it should show').fill(CAT.replace('a cat', ('an owl', 'a dog')[i%2]))
        v.press('Edit')
        v.told('Editing')
        v.told('Done')
        sizes.append(resident())
    print(f'{len(sizes)} edits: {sizes[0]/1e6:.0f} MB after the first, {sizes[-1]/1e6:.0f} MB after the last')
    assert sizes[-1] < 1.2*sizes[0]


def test_threads(browser, site):
    "From the second visit on the page stands alone, as threads ask for, and works."
    context = browser.new_context()
    page = context.new_page()
    page.goto(site + FEW)
    page.get_by_text('Press Invert to see').wait_for()
    page.wait_for_function('navigator.serviceWorker.ready.then(() => true)')
    page.reload()
    page.get_by_text('Press Invert to see').wait_for()
    assert page.evaluate('crossOriginIsolated')
    page.get_by_role('button', name='Invert').click()
    page.get_by_text('Inverted').wait_for(timeout=120_000)
    context.close()


@pytest.mark.parametrize('name', ('index', 'prompt2prompt'))
def test_behind_a_button(browser, site, name):
    "Pages about something else load the panel when it is asked for."
    page, asked = browser.new_page(), []
    page.on('request', lambda r: asked.append(r.url))
    page.goto(site.replace('app/live', name))
    page.wait_for_load_state('networkidle')
    assert not [u for u in asked if u.endswith('model.json')]
    page.get_by_role('button', name='Try it here').click()
    page.get_by_text('Press Invert to see').wait_for()
    page.close()


def test_files_that_do_not_come(visit, panel):
    "A file that is missing, or cut short, is said; at the next press all is well."
    v = visit()
    cut = (panel/'decoder.onnx.apart.gz').read_bytes()[:-100]
    for answer, line in ((dict(status=404), 'decoder.onnx.apart.gz cannot be fetched (404)'),
                         (dict(status=200, body=cut), 'decoder.onnx.apart.gz came cut short')):
        v.page.context.route('**/decoder.onnx.apart.gz*', lambda route: route.fulfill(**answer))
        v.press('Invert')
        v.told(line)
        v.page.context.unroute('**/decoder.onnx.apart.gz*')
    v.press('Invert')
    v.told('Inverted')


def served(v, name, **answer):
    "From now on `name` comes like this; without an answer, as it is."
    v.page.context.unroute(f'**/{name}*')
    if answer: v.page.context.route(f'**/{name}*', lambda route: route.fulfill(**answer))


# ---- The engine

MAKE = "this.ort.InferenceSession.create(bytes, {executionProviders: ['webgpu']})"  # a graph on the card


def with_gpu(v, panel, adapter, card=None):
    "From now on the worker sees this `adapter`, and graphs run on this `card`: JavaScript, or what the browser has."
    stub = f"Object.defineProperty(navigator, 'gpu', {{value: {{requestAdapter: async () => ({adapter})}}}})\n"
    script, code = dict(content_type='text/javascript'), (panel/'card.js').read_text(encoding='utf-8')
    served(v, 'worker.js', body=stub + (panel/'worker.js').read_text(encoding='utf-8'), **script)
    assert code.count(MAKE) == 1
    if card: served(v, 'card.js', body=code.replace(MAKE, f'Promise.resolve({card})').replace('graph(bytes, cpu) {',
                    'graph(bytes, cpu) { let runs = 0;'), **script)


def runs_on(v): return v.page.locator('.live-runs').inner_text()


def builds(v):
    "What it asked for of the engine."
    return {name for names in BUILDS.values() for name in names if any(f'/{name}' in url for url in v.asked)}


@pytest.mark.parametrize('wish,adapter', (('', 'null'), ('?engine=wasm', '{info: {}}')))
def test_without_a_graphics_card(visit, panel, wish, adapter):
    "There is none, or the address says so: the smaller build is enough."
    v = visit(wish + FEW)
    with_gpu(v, panel, adapter)
    v.press('Invert')
    v.told('Inverted')
    assert runs_on(v) == 'Runs on WebAssembly, one thread.' and builds(v) == {*BUILDS['wasm']}


def test_a_card_that_works(visit, panel):
    v = visit('?engine=webgpu' + FEW)
    with_gpu(v, panel, '{info: {}}', '{run: inputs => cpu.run(inputs)}')
    v.press('Invert')
    v.told('Inverted')
    v.press('Edit')
    v.told('Done')
    assert runs_on(v) == 'Runs on WebGPU.' and builds(v) == {*BUILDS['webgpu']}


LOST = """{run: async inputs => {
  if (++runs > 4) throw new Error('the device is lost')
  return cpu.run(inputs)
}}"""


@pytest.mark.parametrize('card,why', ((LOST, 'the device is lost'), (None, '')))
def test_a_card_that_fails(visit, panel, card, why):
    "It is lost in the middle, or gives no device: the processor goes on, in the same job."
    v = visit('?engine=webgpu' + FEW)
    with_gpu(v, panel, '{info: {}}', card)
    v.press('Invert')
    v.told('Inverted')
    v.press('Edit')
    v.told('Done')
    assert runs_on(v).startswith(f'Runs on WebAssembly, one thread. WebGPU is not used: {why}')


@pytest.mark.torture
def test_webgpu_in_software(browser, site):
    "WebGPU itself, as far as a machine without a card has it: the UNet passes its trial, at a minute a step."
    flags = [*(flag for flag in BROWSER_FLAGS if flag != '--disable-gpu'), '--enable-unsafe-webgpu']
    other = browser.browser_type.launch(executable_path=BROWSER, args=flags)
    v = Visitor(other, f'{site}?engine=webgpu{FEW}')
    v.press('Invert')
    v.told('Inverting', 600)
    assert runs_on(v) == 'Runs on WebGPU.'  # the console has the engine's remarks on small operators
    other.close()


def test_a_card_that_takes_the_engine_along(visit, panel):
    "After that it is not asked again."
    v = visit('?engine=webgpu' + FEW)
    with_gpu(v, panel, '{info: {}}', '{run: () => postMessage({kind: "failed", why: "gone", fatal: true})}')
    v.press('Invert')
    v.told('gone (WebGPU is not used any more)')
    v.press('Invert')
    v.told('Inverted')
    assert runs_on(v) == 'Runs on WebAssembly, one thread.'


def test_sheets_and_engine_that_do_not_come(visit, panel):
    "The drawings of a scene that is made, a picture, the worker itself."
    v = visit()
    v.page.locator('summary', has_text='Make a scene').click()
    cut = (panel/'things1.webp').read_bytes()[:-100]
    for answer, line in ((dict(status=404), 'cannot be fetched (404)'), (dict(body=cut), 'came cut short')):
        served(v, 'things1.webp', **answer)
        v.press('Draw')
        v.told(f'things1.webp {line}')
    served(v, 'things1.webp')
    v.press('Draw')
    v.told('Press Invert')
    served(v, 'scene1.png', body='no picture')
    second = v.page.locator('.live-scenes input[type=radio]').nth(1)
    second.click()
    v.told('scene1.png is no picture')
    served(v, 'scene1.png')
    second.click()
    v.told('Press Invert')
    for name, line in (('worker.js', 'the model stopped'), (BUILDS['wasm'][0], 'ort.wasm.bundle.min.mjs cannot')):
        served(v, name, status=404)
        v.press('Invert')
        v.told(line)
        served(v, name)
    v.press('Invert')
    v.told('Inverted')


def test_the_list_of_files_comes_cut_short(browser, site, panel):
    page = browser.new_page()
    cut = (panel/'model.json').read_text(encoding='utf-8')[:-100]
    page.route('**/model.json', lambda route: route.fulfill(body=cut))
    page.goto(site + FEW)
    page.get_by_text('did not come whole').wait_for()
    page.unroute('**/model.json')
    page.get_by_role('button', name='Try again').click()
    page.get_by_text('Press Invert to see').wait_for()
    page.close()


@pytest.mark.parametrize('name,where', (('nets.js', 'function mkNet(ort, facts, read, card) {'),
                                        ('nets.js', 'unet(rows, t, words, controls = {}) {'),
                                        ('nets.js', 'decode(z0) {'), ('plan.js', 'function thingsOf(net, inv) {')))
def test_memory_runs_out(visit, panel, name, where):
    "While the model is made, at a step, while a picture is decoded, or after an inversion, when nobody waits."
    code = (panel/name).read_text(encoding='utf-8')
    assert code.count(where) == 1
    full = code.replace(where, where + " throw new RangeError('Array buffer allocation failed');")
    v = visit()
    served(v, name, body=full, content_type='text/javascript')
    v.press('Invert')
    if where.startswith('decode'):
        v.told('Inverted')
        v.press('Edit')
    v.told('there is not enough memory')
    served(v, name)
    v.press('Invert')
    v.told('Inverted')
    v.press('Edit')
    v.told('Done')


def test_in_the_background(visit):
    "Frozen by the browser, the panel goes on once it may; and the next press works."
    v = visit()
    v.press('Invert')
    v.told('Inverting')
    browser_side = v.page.context.new_cdp_session(v.page)
    browser_side.send('Page.setWebLifecycleState', dict(state='frozen'))
    sleep(2)
    browser_side.send('Page.setWebLifecycleState', dict(state='active'))
    v.told('Inverted')
    v.press('Edit')
    v.told('Done')


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
    stage = v.page.locator('.live-stage').bounding_box()  # what came out can be seen at once
    assert 0 <= stage['y'] and stage['y'] + stage['height'] <= PHONE['height']
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
