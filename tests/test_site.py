"The site as a reader meets it: built once, opened from files in a real browser, read, operated, and weighed."
import ast, gzip, json, os, posixpath, re
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, python
from examples import written

pytestmark = pytest.mark.xdist_group('site')  # its fixtures are shared

NOTEBOOKS = [p.relative_to(ROOT/'nbs') for p in (ROOT/'nbs').rglob('[0-9]*.ipynb')]
PAGES = ['index', *sorted((p.parent/re.sub(r'^\d+[a-z]*_', '', p.stem)).as_posix() for p in NOTEBOOKS)]
REFERENCE = ['api/index', 'api/inversion', 'api/store', 'api/lab.stats']  # of the pages made from the code
WEIGHT = 350e3  # bytes that a page fetches when it is opened, compressed
COLUMN, PHONE = {'width': 1280, 'height': 900}, {'width': 390, 'height': 844}

each_page = pytest.mark.parametrize('name', PAGES + REFERENCE)


class Reader:
    "One page of the site in the browser, and what it said and asked for while it loaded."
    def __init__(self, page, docs, name):
        self.page, self.said, self.asked, self.failed = page, [], [], []
        page.on('console', lambda m: m.type in ('error', 'warning') and self.said.append(m.text))
        page.on('pageerror', lambda e: self.said.append(str(e)))
        page.on('request', lambda r: self.asked.append(r.url))
        page.on('requestfailed', lambda r: self.failed.append(r.url))
        page.goto((docs/f'{name}.html').as_uri())
        page.evaluate('document.fonts.ready')

    def files(self): return {Path(unquote(urlsplit(u).path)) for u in self.asked if u.startswith('file:')}


@pytest.fixture(scope='session')
def readers(browser, docs):
    "Every page of the site, opened once, when it is first asked for."
    made = {}
    context = browser.new_context(viewport=COLUMN, reduced_motion='reduce')
    def get(name):
        if name not in made: made[name] = Reader(context.new_page(), docs, name)
        made[name].page.bring_to_front()  # pages behind others are slowed down
        return made[name]
    yield get
    context.close()


@pytest.fixture
def on(readers): return lambda name: readers(name).page


# ---- Reading

@each_page
def test_page_loads_alone(readers, docs, name):
    r = readers(name)
    assert not r.said and not r.failed
    outside = [u[:100] for u in r.asked if not u.startswith(('data:', docs.as_uri()))]
    assert not outside, 'requests that leave the site'
    assert r.page.title() and r.page.locator('h1').count() == 1


@each_page
def test_page_is_light(readers, docs, name):
    "Pictures and one theme come when they are needed: what a page fetches at first is small."
    files = readers(name).files()
    weight = {p.name: len(gzip.compress(p.read_bytes(), 6)) for p in files}
    assert sum(weight.values()) <= WEIGHT, sorted(weight.items(), key=lambda o: -o[1])[:6]
    assert len([p for p in files if p.parent.name == 'themes']) == 1


@each_page
def test_nothing_raw_shows(on, name):
    "No TeX, directives, fences of divs or references that should have become something else."
    page = on(name)
    text = page.evaluate('''() => { const c = document.querySelector('main').cloneNode(true);
        c.querySelectorAll('.katex, pre, code, script, style').forEach(e => e.remove()); return c.textContent }''')
    found = re.findall(r'\\[a-zA-Z]{2,}|\$\$|\\\(|:::|@(?:fig|eq|sec|tbl)-\w+|#\|.*|\]\([^)]*\)|\*\*', text)
    assert not found
    assert not page.locator('.katex-error').count()
    if page.locator('.math').count(): assert page.locator('.katex').count() >= page.locator('.math').count()
    code = page.evaluate('() => [...document.querySelectorAll("pre")].map(e => e.textContent).join("\\n")')
    assert not re.findall(r'^#\| .*', code, re.M), 'directives in the code'


def place(name, href):
    "The file of the site that `href` on the page `name` means."
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(href)))


def hrefs(page, selector):
    "Where the links that `selector` finds lead."
    return page.evaluate('s => [...document.querySelectorAll(s)].map(e => e.getAttribute("href"))', selector)


def test_links_resolve(docs):
    ids, links = {}, []
    for p in docs.rglob('*.html'):
        name, page = p.relative_to(docs).with_suffix('').as_posix(), BeautifulSoup(p.read_bytes(), 'html.parser')
        ids[f'{name}.html'] = [e['id'] for e in page.select('[id]')]
        links += [(name, e['href']) for e in page.select('a[href]')]
    bad = []
    for name, href in links:
        u = urlsplit(href)
        if u.scheme or not href: continue
        target = place(name, u.path) if u.path else f'{name}.html'
        lost = u.fragment and unquote(u.fragment) not in ids.get(target, ())
        if lost or not (docs/target).is_file(): bad.append((name, href))
    assert not bad
    assert not [i for n in ids for i, k in Counter(ids[n]).items() if k > 1], 'ids that stand twice on a page'
    linked = {(n, place(n, h.split('#')[0])) for n, h in links}
    alone = [p for p in ids if not any(to == p and f'{n}.html' != p for n, to in linked)]
    assert not alone, 'pages that no page links to'


def test_reading_order(on):
    "The sidebar holds every page once, and next leads through them in its order."
    page = on('index')
    bar = hrefs(page, '#quarto-sidebar a[href]')
    assert sorted(bar) == sorted(f'{p}.html' for p in [*PAGES, 'api/index'])
    sections = page.locator('.sidebar-item-section > .sidebar-item-container .menu-text').all_inner_texts()
    assert sections == ['Learn', 'Use it', 'Faster, and other ways', 'Laboratory', 'The embedded model', 'App',
                        'Reference', 'Helpers']
    lessons = [p for p in bar if p not in ('index.html', 'api/index.html')]
    assert hrefs(page, '.map a') == lessons, 'the map and the sidebar differ'
    for here, there in zip(bar, bar[1:]):
        assert place(here, on(here[:-5]).locator('.nav-page-next a').get_attribute('href')) == there
        assert place(there, on(there[:-5]).locator('.nav-page-previous a').get_attribute('href')) == here


AXE = '''async runOnly => (await axe.run(document, {resultTypes: ['violations'], runOnly})).violations.map(
    v => `${v.id}: ${v.nodes.length} × ${v.nodes[0].target} ${v.nodes[0].failureSummary.split('\\n').slice(1, 2)}`)'''


@each_page
def test_accessible(on, name):
    "axe-core's rules, in the light and, as to contrast, in the dark; what is hidden at first is shown to it, too."
    import axe_playwright_python
    page = on(name)
    if not page.evaluate('"axe" in window'):
        page.evaluate((Path(axe_playwright_python.__file__).parent/'axe.min.js').read_text(encoding='utf-8'))
    assert not page.evaluate(AXE, dict(type='tag', values=['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']))
    page.evaluate('smalldocsToggleScheme()')
    try:
        page.wait_for_function('document.documentElement.classList.contains("quarto-dark")')
        dark = page.evaluate(AXE, ['color-contrast'])
    finally:
        page.evaluate('smalldocsToggleScheme()')
    assert not dark


def test_what_others_see(docs):
    "The picture that a link to the site is shown with is there, and its address is whole."
    for name in 'index', 'lab/stats':
        page = BeautifulSoup((docs/f'{name}.html').read_bytes(), 'html.parser')
        shown = page.select_one('meta[property="og:image"]')['content']
        assert shown.startswith('https://') and (docs/'images'/shown.rsplit('/', 1)[1]).is_file()
        assert page.select_one('footer a[href]')


def test_contents_are_short(docs):
    "The list beside a page shows its way at a glance."
    pages = {n: BeautifulSoup((docs/f'{n}.html').read_bytes(), 'html.parser') for n in PAGES}
    assert not {n: k for n, page in pages.items() if (k := len(page.select('#TOC a'))) > 12}


def test_no_progress_bars():
    "What a bar wrote while a notebook ran is no result."
    for nb in (ROOT/'nbs').rglob('*.ipynb'):
        cells = json.loads(nb.read_text(encoding='utf-8'))['cells']
        told = json.dumps([c.get('outputs', []) for c in cells])
        assert not re.search(r'(it/s|s/it)\]|\d%\|', told), nb.name


TABLES = dict.fromkeys(('03_tables', '20_cli'), 'what a terminal shows')  # pages on which text in columns is meant


def test_no_printed_tables():
    "Results in rows and columns are tables: text that is aligned by spaces does not fit a phone."
    found = set()
    for nb in (ROOT/'nbs').rglob('*.ipynb'):
        for cell in json.loads(nb.read_text(encoding='utf-8'))['cells']:
            told = [''.join(o['text']) for o in cell.get('outputs', []) if o['output_type'] == 'stream']
            if len(re.findall(r'^.*\S {2,}\S.*\d', ''.join(told), re.M)) > 1: found.add(nb.stem)
    assert found <= {*TABLES}


def test_plots_are_vectors():
    "A plot is drawn for a phone, with letters that are text; `save_images` alone makes pixels."
    pixels = set()
    for nb in (ROOT/'nbs').rglob('*.ipynb'):
        outs = [o for c in json.loads(nb.read_text(encoding='utf-8'))['cells'] for o in c.get('outputs', [])]
        pixels |= {nb.stem for o in outs if 'image/png' in o.get('data', {})}
    assert pixels <= {'05_images'}


def offered(module):
    "The names of a module's public functions and classes."
    body = ast.parse(module.read_text(encoding='utf-8')).body
    nodes = (n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith('_'))
    return {n.name for n in nodes if not any(ast.unparse(d).startswith('patch') for d in n.decorator_list)}


def test_reference_is_whole(docs):
    "Every public name has an entry with its signature, and stands in the index; its source is folded."
    index = BeautifulSoup((docs/'api'/'index.html').read_bytes(), 'html.parser')
    listed = {a.get_text() for a in index.select('section#from-a-to-z a')}
    for p in {*(docs/'api').glob('*.html')} - {docs/'api'/'index.html'}:
        page = BeautifulSoup(p.read_bytes(), 'html.parser')
        names = offered(ROOT/'nulltext_nb'/f'{p.stem.replace(".", "/")}.py')
        for name in names:
            entry = page.find(id=name)
            assert name in listed and entry and name in entry.parent.get_text(), (p.stem, name)
            source = entry.find_next('details', class_='code-fold')
            assert source.pre and not source.has_attr('open')
    signature = BeautifulSoup((docs/'api'/'inversion.html').read_bytes(), 'html.parser').find(id='ddim_invert')
    table = signature.find_next('table').get_text(' ')
    assert 'pivots' in signature.find_next('details', class_='code-fold').get_text() and '(T+1,b,c,h,w)' in table


def test_arguments_have_types(docs):
    "Every argument has a type, hardly any may be anything, and a tensor of the method has its shape."
    anything = []
    for p in {*(docs/'api').glob('*.html')} - {docs/'api'/'index.html'}:
        page = BeautifulSoup(p.read_bytes(), 'html.parser')
        rows = [[td.get_text() for td in tr.select('td')] for tr in page.select('table[data-of=parameter] tbody tr')]
        rows = [row for row in rows if row[0] != 'returns']
        assert not [row for row in rows if not row[1]], p.stem
        assert not [row for row in rows if row[1] == 'Tensor' and '.' not in p.stem], p.stem
        anything += [(p.stem, *row) for row in rows if row[1] == 'Any']
    assert len(anything) <= 12, anything


def test_examples_stand_alone(tmp_path):
    "Each written example of the reference, copied into an empty folder, runs."
    one_by_one = 'import sys\nfor code in sys.argv[1:]: print(code, flush=True); exec(code, {})'
    python('-W', 'ignore', '-c', one_by_one, *written().values(), cwd=tmp_path)


def test_reference_shows_examples_and_refusals(docs):
    page = BeautifulSoup((docs/'api'/'editing.html').read_bytes(), 'html.parser')
    entry = page.find(id='edit')
    said = entry.get_text()
    assert "load_pipe()" in said and 'ValueError' in said and 'Used on' in said
    refused = entry.select_one('details.raises').get_text(' ')
    assert 'is in neither caption' in refused and 'region is empty' in refused, 'what deeper functions refuse'
    tables = [[td.get_text() for td in t.select('tbody td:first-child')] for t in entry.select('table')]
    assert [t[0] for t in tables] == ['pipe', 'free', 'kind'] and tables[0][-1] == 'returns', 'knobs by who takes them'
    assert entry.select_one('td a[href="store.html#Inversion.load"]'), 'names in the table are links'


def test_ways_through_the_reference(browser, docs):
    "Beside a page of the reference stand all its modules, this one marked; a box filters the list of all names."
    page = browser.new_page(viewport=COLUMN, reduced_motion='reduce')
    page.goto((docs/'api'/'nulltext.html').as_uri())
    bar = page.locator('#quarto-sidebar')
    here = bar.locator('a.active')
    assert here.all_inner_texts() == ['nulltext'] and here.is_visible()
    assert bar.locator('.modules a').count() == len({*(docs/'api').glob('*.html')}) - 1
    page.goto((docs/'api'/'index.html').as_uri())
    rows = page.locator('#from-a-to-z tbody tr')
    page.keyboard.press('Tab')
    page.get_by_role('searchbox').last.focus()
    page.keyboard.type('load inver')
    shown = rows.locator('visible=true').all_inner_texts()
    assert 0 < len(shown) < 20 and any(text.startswith('load_inversion') for text in shown)
    assert page.locator('.filter output').inner_text() == f'{len(shown)} of {rows.count()}'
    assert not page.locator('#from-a-to-z :is(h2, summary)').locator('visible=true').count()  # one list
    for word in 'mask', 'save':  # names that hold it come before those whose docstring does
        page.keyboard.press('ControlOrMeta+a')
        page.keyboard.type(word)
        names = [text.split()[0] for text in rows.locator('visible=true').all_inner_texts()]
        assert len(names) > 6 and all(word in name for name in names[:6])
    assert 'Inversion.save' in names[:4]
    page.keyboard.press('Escape')
    assert not rows.locator('visible=true').count() and page.locator('#modules').is_visible()
    page.close()


# ---- What can be seen of it

FAULTS = '''phone => {
  const told = e => `${e.tagName.toLowerCase()}.${e.className.baseVal ?? e.className} ` +
    `“${(e.alt || e.textContent).trim().slice(0, 40)}”`
  const style = e => getComputedStyle(e)
  const scrolls = e => ['auto', 'scroll'].includes(style(e).overflowX)
  const hidden = e => !e.checkVisibility({visibilityProperty: true, opacityProperty: true})
  const faults = []
  if (document.documentElement.scrollWidth > innerWidth) faults.push('the page scrolls sideways')
  for (const e of document.querySelectorAll(':is(main, header, footer) :not(input, .in, .katex *)')) {
    if (hidden(e) || e.scrollWidth <= e.clientWidth + 1 || style(e).overflowX === 'visible') continue
    if (!scrolls(e)) faults.push(`cut off: ${told(e)}`)
    else if (!phone && e.matches('pre')) faults.push(`code that does not fit: ${told(e)}`)
    else if (style(e).maskImage === 'none') faults.push(`scrolls without a cue: ${told(e)}`)
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange()
  for (let text; text = texts.nextNode();) {
    const e = text.parentElement
    if (!text.data.trim() || hidden(e) || e.closest('.katex, script, style, .skip, .visually-hidden')) continue
    const scale = e.ownerSVGElement ? e.getScreenCTM().a : 1
    if (parseFloat(style(e).fontSize)*scale < 11) faults.push(`small: ${told(e)}`)
    range.selectNodeContents(text)
    const box = range.getBoundingClientRect()
    let boxed = e
    while (boxed && !scrolls(boxed)) boxed = boxed.parentElement
    const past = box.right > innerWidth + 1 || box.left < -1
    if (!boxed && box.width > 1 && past) faults.push(`past the edge: ${told(e)}`)
  }
  for (const e of document.querySelectorAll('main img[src$=".svg"]'))
    if (e.complete && e.clientWidth < .73*e.naturalWidth) faults.push(`small letters: ${told(e)}`)
  for (const e of document.querySelectorAll('main img[data-drawing]'))
    if (e.complete && e.clientWidth < Math.min(540, e.naturalWidth)) faults.push(`small letters: ${told(e)}`)
  for (const e of document.querySelectorAll('main img[data-drawing]'))
    if (e.complete && e.clientWidth > e.naturalWidth/1.5) faults.push(`large letters: ${told(e)}`)
  for (const e of document.querySelectorAll('main .wide'))
    if (!hidden(e) && style(e.parentElement).overflowX !== 'visible') faults.push(`kept from the margin: ${told(e)}`)
  for (const e of document.querySelectorAll('main .cell-output pre:not(.sourceCode)'))
    if (!hidden(e) && !/\\S {2,}\\S/.test(e.textContent) && e.scrollWidth > e.clientWidth + 1)
      faults.push(`printed words that do not fit: ${told(e)}`)
  for (const e of document.querySelectorAll('main .sd-table:has(.params)'))
    if (phone && e.scrollWidth > e.clientWidth + 1) faults.push(`parameters that do not fit: ${told(e)}`)
  for (const e of document.querySelectorAll('main :is(td, th)'))
    if (!hidden(e) && e.textContent.trim().length > 8 && e.clientWidth < 48) faults.push(`a narrow column: ${told(e)}`)
  const plates = document.documentElement.classList.contains('quarto-dark') ?
    [...document.querySelectorAll('main :is(img[src$=".svg"], img[data-drawing])')] : []
  plates.filter(e => style(e).filter === 'none').forEach(e => faults.push(`a white plate: ${told(e)}`))
  return faults
}'''
SHOTS = Path(os.environ.get('NULLTEXT_SHOTS', ROOT/'out'/'site'))  # pictures of the pages, for a person to look at


def faults(page, width, scheme):
    page.set_viewport_size(width)
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function('dark => document.documentElement.classList.contains("quarto-dark") === dark',
                           arg=scheme == 'dark')
    page.wait_for_timeout(100)  # boxes look at their size after the layout
    return page.evaluate(FAULTS, width == PHONE)


def look(browser, docs, name, shots=None):
    "What is wrong with a page on either screen, in the light and in the dark; pictures of it go to `shots`."
    page, found = browser.new_page(reduced_motion='reduce', viewport=COLUMN), {}
    page.goto((docs/f'{name}.html').as_uri())
    for width in COLUMN, PHONE:
        for scheme in 'light', 'dark':
            found[f'{width["width"]}, {scheme}'] = faults(page, width, scheme)
            if not shots: continue
            file = shots/f'{name.replace("/", "_")}_{width["width"]}_{scheme}.jpg'
            page.screenshot(path=file, full_page=True, type='jpeg', quality=60)
    page.close()
    return {k: v for k, v in found.items() if v}


def test_first_screen(browser, docs):
    "Home says at once what this is, how to install it, where to try it, and shows what it does."
    page = browser.new_page(viewport=COLUMN, reduced_motion='reduce')
    page.goto((docs/'index.html').as_uri())
    picture = page.locator('main img[src$="teaser.webp"]')
    picture.evaluate('im => im.decode()')
    parts = '.description', '.doors a >> nth=0', 'pre >> text=pip install >> nth=0', '.live button', '.repository a'
    for part in picture, *map(page.locator, parts):
        box = part.bounding_box()
        assert box['y'] >= 0 and box['y'] + box['height'] <= COLUMN['height']
    page.close()


def test_no_picture_is_left_alone(browser, docs):
    "Five or seven pictures that do not fit into one row of a phone stand in two of about the same length."
    page = browser.new_page(viewport=PHONE, reduced_motion='reduce')
    page.goto((docs/'reference'/'demo.html').as_uri())
    rows = page.evaluate("""() => [...document.querySelectorAll('main div[style*=auto-fill]')].map(grid => {
        const count = {}
        for (const e of grid.children) count[e.offsetTop] = (count[e.offsetTop] ?? 0) + 1
        return Object.values(count) })""")
    assert rows and all(len(row) <= 2 and max(row) - min(row) <= 1 for row in rows)
    page.close()


def test_contents_stay(browser, docs):
    "The list beside a page is hidden by what can be seen over it, and by nothing else."
    page = browser.new_page(viewport=COLUMN, reduced_motion='reduce')
    page.goto((docs/'nulltext.html').as_uri())
    covered = """() => { const box = e => e.getBoundingClientRect()
        const lists = [...document.querySelector('#quarto-margin-sidebar').children].map(box)
        return [...document.querySelectorAll('main .wide')].filter(e => e.checkVisibility()).map(box).some(b =>
            lists.some(list => b.right > list.left && b.top < list.bottom && b.bottom > list.top)) }"""
    faint = 'dark => +getComputedStyle(document.querySelector("#quarto-margin-sidebar")).opacity === +!dark'
    seen = set()
    for y in range(0, 9000, 300):
        page.evaluate('y => scrollTo(0, y)', y)
        page.wait_for_timeout(50)
        seen.add(over := page.evaluate(covered))
        page.wait_for_function(faint, arg=over, timeout=2000)
        assert page.locator('#TOC a').first.is_visible() != over  # nor reached by the keyboard
    assert seen == {True, False}
    page.close()


@pytest.mark.parametrize('name', ['index', 'inversion', 'lab/ablation', 'reference/questions', *REFERENCE[:2]])
def test_looks_right(browser, docs, name):
    "Nothing is cut off, nothing scrolls without a cue, and all can be read."
    assert not look(browser, docs, name)


@pytest.mark.torture
@each_page
def test_every_page_looks_right(browser, docs, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    assert not look(browser, docs, name, SHOTS)


@pytest.mark.torture
def test_whole_reference_looks_right(browser, docs):
    found = {p.name: look(browser, docs, f'api/{p.stem}') for p in (docs/'api').glob('*.html')}
    assert not {k: v for k, v in found.items() if v}


class Packed(SimpleHTTPRequestHandler):
    "Serves files as the web does: compressed."
    def do_GET(self):
        file = Path(self.translate_path(urlsplit(self.path).path))
        data = gzip.compress(file.read_bytes())
        self.send_response(200)
        self.send_header('Content-Type', self.guess_type(str(file)))
        self.send_header('Content-Encoding', 'gzip')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *said): pass


@pytest.fixture(scope='session')
def address(docs):
    "Where the site is served."
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Packed, directory=docs))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.mark.torture
@pytest.mark.parametrize('name', ['index', 'inversion', 'lab/edits'])
def test_text_comes_soon(browser, address, name):
    "Over a slow line, 1.6 Mbit/s with 150 ms there and back, text stands after 2.5 seconds."
    page = browser.new_page(viewport=PHONE)
    line = dict(offline=False, latency=150, downloadThroughput=1.6e6/8, uploadThroughput=0.75e6/8)
    page.context.new_cdp_session(page).send('Network.emulateNetworkConditions', line)
    page.goto(f'{address}/{name}.html')
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.close()
    assert painted <= 2500


# ---- Operating

ASKED = {  # of the search, and a page that the first three must lead to
    'local_mask': 'prompt2prompt', 'how to edit a photo': 'editing', 'edit image': 'editing', 'install': 'index',
    'setup': 'index', 'how long does it take': 'reference/questions', 'gpu memory': 'reference/questions',
    'ram': 'reference/questions', 'inversion': 'inversion', 'guidance scale': 'inversion',
    'my edit fails': 'reference/limits', 'batch': 'editing', 'seed': 'editing', 'tau_self': 'editing',
    'null-text optimisation': 'nulltext', 'fast solver': 'solvers', 'attention maps': 'attention',
    'use my own photo': 'reference/photo', 'edit': 'api/editing', 'invert': 'api/editing',
    'Inversion.load': 'api/store', 'fit_nulls': 'api/nulltext', 'load_pipe()': 'api/pipeline',
    'null text': 'nulltext', 'nulltext': 'nulltext', 'psnr': 'api/images', 'prompt-to-prompt': 'prompt2prompt',
    'command line': 'reference/cli', 'terminal': 'reference/cli', 'save inversion': 'store',
    'stable diffusion': 'reference/questions', 'in the browser': 'app/live', 'editor': 'app/editor',
    'benchmark': 'lab/edits', 'ddim': 'inversion', 'how was the model trained': 'world/training',
    'pie bench': 'lab/pie_run', 'inevrsion': 'inversion', 'atention maps': 'attention',
    'glossary': 'reference/glossary', 'failure cases': 'reference/limits', 'out of memory': 'reference/questions',
    'the prompt is empty': 'api/editing', 'compare methods': 'lab/edits', 'remove an object': 'region',
    'ablation': 'lab/ablation', 'diffusers custom pipeline': 'custom_pipeline/pipeline',
    'real photographs': 'reference/photographs', 'sdxl': 'reference/questions', 'word weights': 'editing',
    'how does null-text inversion work': 'nulltext', 'license': 'index', 'citation': 'index',
    'negative prompt': 'methods', 'mask': 'masks', 'does it work with sdxl': 'reference/questions',
    'lora': 'pipeline', 'Region': 'api/region', 'keep the background': 'region', 'erase': 'region',
    'promt': 'prompt2prompt', 'nul text': 'nulltext', 'resume': 'resume', 'guidence': 'inversion',
    'what is w': 'reference/questions', 'T4 colab': 'reference/photo', 'video': 'reference/questions',
    'cost': 'solvers', 'solver': 'solvers', 'apple mps': 'api/pipeline', 'intsall': 'index', 'how to start': 'index',
    'upload image': 'reference/photo', 'mac m1': 'reference/questions', 'windows': 'reference/questions',
    'make it a painting': 'editing', 'blurry result': 'reference/limits', 'cfg': 'inversion', 'cite': 'index',
    'train the model': 'world/training', 'dataset': 'world/data', 'api': 'api/index', 'inpainting': 'editing',
    'edit function parameters': 'api/editing', 'size must be multiple': 'editing',
    'colab disconnect': 'reference/photo'}
FIRST = {'how to start': 'index', 'upload image': 'reference/photo', 'mac m1': 'reference/questions', 'cite': 'index',
         'blurry result': 'reference/limits', 'cfg': 'inversion', 'api': 'api/index', 'cost': 'solvers',
         'guidance scale': 'inversion', 'negative prompt': 'methods', 'seed': 'editing', 'solver': 'solvers',
         'intsall': 'index'}  # and one that the first must


def ask(page, query):
    "Write `query` into the search; the addresses of the pages found, from the top of the site."
    page.keyboard.press('/')
    page.keyboard.press('ControlOrMeta+a')
    page.keyboard.type(query)
    page.wait_for_timeout(300)
    page.locator('.search-result').first.wait_for(timeout=5000)
    return hrefs(page, '.search-result.page')


def test_search_finds(on):
    page = on('index')
    page.keyboard.press('/')
    page.wait_for_function('window.searchIndex')
    found = page.evaluate("""asked => { const seeker = new SiteSearch(searchIndex)
        const pages = query => seeker.find(query).slice(0, 3).map(group => group.href.split('.html')[0])
        return asked.map(pages) }""", [*ASKED])
    assert not {query: pages for (query, answer), pages in zip(ASKED.items(), found) if answer not in pages}
    assert {query: pages[0] for query, pages in zip(ASKED, found) if query in FIRST} == FIRST
    ask(page, 'share of signal')
    page.wait_for_function("document.querySelector('.search-result-text').textContent.includes('signal')")
    assert '\\' not in ''.join(page.locator('.search-result-text').all_inner_texts())
    page.keyboard.press('Escape')


def test_search_by_keys(browser, docs):
    "Names of the code come first, pages hold their sections, and arrows, Enter and Esc do what they do elsewhere."
    page = browser.new_page(viewport=PHONE, reduced_motion='reduce')
    page.goto((docs/'lab'/'stats.html').as_uri())
    box, results = page.get_by_role('combobox', name='Search'), page.locator('.smalldocs-search-results')
    ask(page, 'edit')
    assert results.locator('.search-result').first.get_attribute('href').endswith('api/editing.html#edit')
    titles = results.locator('.search-result-title').all_inner_texts()
    assert len(set(titles)) == len(titles) > 3 and results.locator('.part').count() > 3
    assert results.locator('mark').count() and not re.search('Open in Colab|Notebook on GitHub', results.inner_text())
    edges = results.bounding_box()
    assert edges['x'] >= 0 and 340 < edges['width'] <= PHONE['width']
    for n, key in enumerate(['ArrowDown', 'ArrowDown', 'ArrowUp']):
        page.keyboard.press(key)
        active = results.locator('[aria-selected=true]')
        assert active.count() == 1 and box.get_attribute('aria-activedescendant') == active.get_attribute('id'), n
    page.keyboard.press('Escape')
    assert not results.is_visible() and box.get_attribute('aria-expanded') == 'false'
    ask(page, 'Inversion.save')
    page.keyboard.press('Enter')
    page.wait_for_url('**/api/store.html#Inversion.save')
    page.close()


def test_search_reads_what_is_shown(docs):
    "A comment in a page is not found."
    index = (docs/'site_libs'/'searchindex.js').read_text(encoding='utf-8')
    assert 'AUTOGENERATED' not in index


def test_all_words_rank_highest(on):
    "A section with every word comes before those with some, and any word finds something."
    page = on('index')
    page.keyboard.press('/')
    page.wait_for_function('window.searchIndex')
    found = page.evaluate("new SiteSearch(searchIndex).sections('guidance zebrafish pivots')")
    def told(item): return ' '.join([item['title'], item['section'], item['text']]).lower()
    assert found and 'guid' in told(found[0]) and 'pivot' in told(found[0])
    page.keyboard.press('Escape')


def test_search_finds_knobs(docs):
    "The row of a knob is found by its name, and can be linked to."
    script = (docs/'site_libs'/'searchindex.js').read_text(encoding='utf-8')
    found = {s['section']: s['href'] for s in json.loads(script.split('=', 1)[1]) if '#knob-' in s['href']}
    page = BeautifulSoup((docs/'editing.html').read_bytes(), 'html.parser')
    for knob in 'seed', 'tau_self':
        assert found[knob] == f'editing.html#knob-{knob}' and page.find(id=f'knob-{knob}').code.get_text() == knob


def test_most_used_names_come_first(docs):
    "On a page of the reference; in the list of all names the groups are folded."
    page = BeautifulSoup((docs/'api'/'editing.html').read_bytes(), 'html.parser')
    assert {h['data-anchor-id'] for h in page.select('main h2')[:2]} == {'invert', 'edit'}
    index = BeautifulSoup((docs/'api'/'index.html').read_bytes(), 'html.parser')
    assert len(index.select('section#from-a-to-z details')) > 15 and not index.select('main details[open]')


def test_code_and_tables_on_a_phone(browser, docs):
    "Code is wrapped and copied as it is written; what a word or a knob means has the width of the screen."
    page = browser.new_page(viewport=COLUMN, reduced_motion='reduce')
    page.goto((docs/'nulltext.html').as_uri())
    written = 'codes => codes.filter(c => c.checkVisibility()).map(c => c.innerText)'
    blocks = page.locator('main pre.sourceCode code')
    before = blocks.evaluate_all(written)
    assert before == blocks.evaluate_all('cs => cs.filter(c => c.checkVisibility()).map(c => c.textContent)')
    page.set_viewport_size(PHONE)
    assert blocks.evaluate_all(written) == before
    over = 'pres => pres.filter(p => p.scrollWidth > p.clientWidth + 1).map(p => p.textContent)'
    assert not page.locator('main pre.sourceCode').evaluate_all(over)
    box, icon = [page.locator(s).locator('visible=true').first.bounding_box()
                 for s in ('main .code-copy-outer-scaffold', 'main .code-copy-button')]
    assert box['y'] <= icon['y'] and icon['x'] + icon['width'] <= box['x'] + box['width'] <= PHONE['width']
    for name, cell in ('reference/glossary', 'tr > td:nth-child(2)'), ('editing', '#knob-seed > td:nth-child(3)'):
        page.goto((docs/f'{name}.html').as_uri())
        assert page.locator(f'main {cell}').first.bounding_box()['width'] > 300
    page.goto((docs/'inversion.html').as_uri())
    heights = page.locator('main input[type=range]').evaluate_all('all => all.map(e => e.offsetHeight)')
    assert heights and all(h >= 44 for h in heights if h)
    page.close()


def test_what_is_folded(browser, docs):
    "A solution hides what it shows, the code for the library waits; a link to a part of it unfolds it."
    page = browser.new_page(viewport=COLUMN, reduced_motion='reduce')
    page.goto((docs/'prompt2prompt.html').as_uri())
    solution = page.locator('#exercises details.more').first
    assert solution.locator('img').count() and not solution.locator('img').first.is_visible()
    solution.locator('summary').first.click()
    assert solution.locator('img').first.is_visible() and solution.locator('pre').first.is_visible()
    assert not page.locator('#the-loop').is_visible()
    page.evaluate("location.hash = '#the-loop'")
    page.locator('#the-loop').wait_for(state='visible')
    told = page.locator('#for-how-long > details.more')
    assert told.locator('table.pictures').count() and not told.locator('table.pictures').is_visible()
    told.locator('summary').first.click()
    assert told.locator('table.pictures').is_visible()
    page.close()


@pytest.mark.parametrize('width', [600, 768, 1024])
def test_between_phone_and_desk(browser, docs, width):
    "Nothing stands outside the page where it is neither: code keeps its icon inside."
    page = browser.new_page(viewport={'width': width, 'height': 900}, reduced_motion='reduce')
    page.goto((docs/'nulltext.html').as_uri())
    for block in page.locator('main .code-copy-outer-scaffold').locator('visible=true').all()[:12]:
        box, icon = block.bounding_box(), block.locator('.code-copy-button').bounding_box()
        assert box['x'] <= icon['x'] and icon['x'] + icon['width'] <= box['x'] + box['width'] <= width
        assert box['y'] <= icon['y']
    assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')
    page.close()


def test_on_a_phone(browser, docs):
    "One bar: the pages open at this page, the contents of the page open too, and nothing of either is cut."
    page = browser.new_page(viewport=PHONE, reduced_motion='reduce')
    page.goto((docs/'lab'/'stats.html').as_uri())
    bar = page.locator('header .navbar').bounding_box()
    for part in '.quarto-btn-toggle', '.smalldocs-search input', '.quarto-color-scheme-toggle', '.contents-toggle':
        box = page.locator(part).bounding_box()
        assert bar['y'] <= box['y'] and box['y'] + box['height'] <= bar['y'] + bar['height'], part
    for button, panel in ('.quarto-btn-toggle', '#quarto-sidebar'), ('.contents-toggle', '#quarto-margin-sidebar'):
        page.locator(button).click()
        here, box = page.locator(f'{panel} a.active:not([data-bs-toggle])').first, page.locator(panel).bounding_box()
        at = here.bounding_box()
        assert here.evaluate('e => e === document.activeElement')
        assert box['y'] <= at['y'] and at['y'] + at['height'] <= PHONE['height'] and box['x'] >= 0
        assert abs(box['y'] + box['height'] - PHONE['height']) <= 1 and box['x'] + box['width'] <= PHONE['width'] + 1
        assert page.locator(button).get_attribute('aria-expanded') == 'true'
        page.keyboard.press('Escape')
        assert page.locator(button).get_attribute('aria-expanded') == 'false' and not page.locator(panel).is_visible()
    page.close()


def test_by_keyboard(browser, docs):
    "The first key leads past the ways through the site; its sections open by keys."
    page = browser.new_page(viewport=COLUMN, reduced_motion='reduce')
    page.goto((docs/'inversion.html').as_uri())
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.textContent') == 'Skip to the text'
    head = page.locator('#quarto-sidebar [role=button]').filter(has_text='The embedded model')
    link = page.locator('#quarto-sidebar a[href^="world/"]').first
    assert not link.is_visible()
    head.focus()
    page.keyboard.press('Enter')
    link.wait_for(state='visible')
    page.close()


def test_light_and_dark(browser, docs):
    "The page follows the system, and the switch at the top overrules it."
    page = browser.new_page(color_scheme='dark')
    page.goto((docs/'index.html').as_uri())
    colour = 'getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]'
    assert page.evaluate(colour) < 60
    page.locator('.quarto-color-scheme-toggle').first.click()
    page.wait_for_function(f'{colour} > 200')
    page.close()


def figures(page, what): return page.locator(f'main figure:has({what})')


def test_before_and_after(on):
    page = on('app/show')
    figs = figures(page, '> input[type=range]')
    assert figs.count()
    fig = figs.first
    slider, stage = fig.locator('input'), fig.locator('div').first
    def at(): return float(stage.evaluate('e => getComputedStyle(e).getPropertyValue("--x")').strip().rstrip('%'))
    start = at()
    slider.focus()
    page.keyboard.press('ArrowRight')
    assert at() == start + 1
    page.keyboard.press('End')
    assert at() == 100
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    y = box['y'] + box['height']/2
    page.mouse.move(box['x'] + 0.2*box['width'], y)
    page.mouse.down()
    page.mouse.move(box['x'] + 0.4*box['width'], y)
    page.mouse.up()
    assert abs(at() - 40) <= 1 and slider.input_value() == str(round(at()))
    page.mouse.move(box['x'] + 0.9*box['width'], y)
    assert abs(at() - 40) <= 1  # the button is up


@pytest.mark.parametrize('name', ['app/show', 'inversion', 'editing'])
def test_slider_through_steps(on, name):
    page = on(name)
    page.evaluate("document.querySelectorAll('details.more').forEach(fold => { fold.open = true })")
    fig = figures(page, '> output').first
    slider = fig.locator('input')
    def shown(): return [i.get_attribute('alt') for i in fig.locator('img').all() if i.is_visible()]
    before, rows = shown(), fig.locator('> div > div').count()
    assert len(before) == rows >= 2
    slider.focus()
    page.keyboard.press('ArrowRight')
    after = shown()
    assert len(after) == rows and not set(before) & set(after)
    step = fig.locator('output').inner_text()
    assert slider.get_attribute('aria-valuetext') == step and all(a.endswith(step) for a in after)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.click(box['x'] + box['width'] - 2, box['y'] + box['height']/2)
    assert slider.input_value() == slider.get_attribute('max')
    assert shown() != after and fig.locator('output').inner_text() != step


def pictures_seen(fig): return [i.get_attribute('src') for i in fig.locator('img').all() if i.is_visible()]


@pytest.mark.parametrize('name', ['app/show', 'scheduler', 'whole'])
def test_marks_move_along_curves(on, name):
    "With the picture and the numbers, by keys; where JavaScript is off, the page says so."
    page = on(name)
    fig = figures(page, 'polyline').first
    slider, marks = fig.locator('input'), fig.locator('polyline + g')
    assert fig.locator('polyline').count() == marks.count() >= 2
    points = fig.locator('polyline').evaluate_all('all => all.map(p => [...p.points].map(q => [q.x, q.y]))')
    def at(): return marks.evaluate_all("""all => all.map(g => { const m = g.transform.baseVal[0].matrix
        return [m.e, m.f] })""")
    def agree(i):
        assert slider.input_value() == f'{i}'
        assert slider.get_attribute('aria-valuetext') == fig.locator('output').inner_text()
        assert all(abs(a - b) < 0.1 for mark, p in zip(at(), points) for a, b in zip(mark, p[i]))
    last = int(slider.get_attribute('max'))
    assert {len(p) for p in points} == {last + 1}
    agree(start := int(slider.input_value()))
    slider.focus()
    for key, i in ('ArrowRight', start + 1), ('End', last), ('Home', 0):
        before = pictures_seen(fig)
        page.keyboard.press(key)
        agree(i)
        assert pictures_seen(fig) != before
    assert 'JavaScript' in fig.locator('noscript').inner_text() and not fig.locator('noscript').is_visible()


KNOBS = ['app/show', 'prompt2prompt', 'region']  # pages with sliders and boxes that choose a picture together


@pytest.mark.parametrize('name', KNOBS)
def test_knobs(on, name):
    "Each knob alone changes the picture; what is told beside a knob is what is read out."
    page = on(name)
    for fig in figures(page, 'fieldset').all():
        knobs, chosen = fig.locator('input').all(), fig.locator('div[data-i]')
        assert len(knobs) >= 2
        def shown(): return [i for i, e in enumerate(chosen.all()) if e.is_visible()]
        def told(k): return k.evaluate('e => e.previousElementSibling?.lastChild.textContent')
        for k in knobs:
            k.focus()
            one = shown()
            if k.get_attribute('type') == 'checkbox': page.keyboard.press('Space')
            else:
                assert told(k) == k.get_attribute('aria-valuetext')
                page.keyboard.press('End' if k.input_value() == '0' else 'Home')
                assert told(k) == k.get_attribute('aria-valuetext')
            assert len(one) == len(shown()) == 1 and one != shown(), k.get_attribute('aria-label')
        numbers = fig.evaluate("f => [...f.querySelectorAll('div[data-i]')].flatMap(e => e.dataset.i.split(' '))")
        n = fig.evaluate("f => [...f.querySelectorAll('input')].reduce((n, x) => n*x.dataset.n, 1)")
        assert sorted(map(int, numbers)) == [*range(n)]


@pytest.mark.parametrize('name', ['scheduler', 'whole', *KNOBS])
def test_played_with_on_a_phone(browser, docs, name):
    "By finger: what is to be touched is large, and the picture stays in sight while one does."
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto((docs/f'{name}.html').as_uri())
    for fig in figures(page, ':is(fieldset, polyline)').all():
        assert fig.bounding_box()['height'] < PHONE['height'] - 100
        for k in fig.locator('input').all():
            k.scroll_into_view_if_needed()
            target = k if k.get_attribute('type') == 'range' else k.locator('xpath=..')
            box, before = target.bounding_box(), pictures_seen(fig)
            assert box['height'] >= 44 and box['width'] >= 44
            far = box['width'] - 3 if k.input_value() == '0' else 3
            page.touchscreen.tap(box['x'] + far, box['y'] + box['height']/2)
            assert pictures_seen(fig) != before
    context.close()


@pytest.mark.parametrize('name', ['app/show', 'attention'])
def test_words_light_up(on, name):
    page = on(name)
    fig = figures(page, 'button[aria-pressed]').first
    words, layers = fig.locator('button').all(), fig.locator('[data-i]').all()
    assert len(words) == len(layers) > 2
    def lit(): return [i for i, l in enumerate(layers) if l.is_visible()]
    fig.scroll_into_view_if_needed()
    assert lit() == []
    words[1].hover()
    assert lit() == [1]
    page.mouse.move(0, 0)
    assert lit() == []
    words[0].focus()
    page.keyboard.press('Tab')
    assert lit() == [1]
    page.keyboard.press('Tab')
    assert lit() == [2]
    page.keyboard.press('Enter')  # held: it stays when the focus leaves
    page.evaluate('document.activeElement.blur()')
    assert lit() == [2] and words[2].get_attribute('aria-pressed') == 'true'
    words[0].click()
    page.mouse.move(0, 0)
    page.evaluate('document.activeElement.blur()')
    assert lit() == [0] and words[2].get_attribute('aria-pressed') == 'false'
    words[0].click()
    page.mouse.move(0, 0)
    page.evaluate('document.activeElement.blur()')
    assert lit() == []


@pytest.mark.parametrize('name', ['app/show', 'inversion'])
def test_grid_of_settings(on, name):
    page = on(name)
    fig = figures(page, 'form').first
    large, choices = fig.locator('img').first, fig.locator('input').all()
    names = [c.get_attribute('aria-label') for c in choices]
    def chosen(): return [i for i, c in enumerate(choices) if c.is_checked()]
    def agree(i):
        assert chosen() == [i] and large.get_attribute('alt') == fig.locator('output').inner_text() == names[i]
        assert large.evaluate('e => e.src') == fig.locator('form img').nth(i).evaluate('e => e.src')
        ringed = [c.evaluate('e => e.style.boxShadow') != 'none' for c in choices]
        assert ringed == [j == i for j in range(len(choices))]
    cols = len({n.split(', ')[1] for n in names})
    agree(chosen()[0])
    choices[0].click()
    agree(0)
    for key, i in ('ArrowRight', 1), ('ArrowDown', 1 + cols), ('ArrowLeft', cols), ('ArrowUp', 0), ('ArrowUp', 0):
        page.keyboard.press(key)
        agree(i)
    choices[-1].click()
    agree(len(choices) - 1)


def test_table_is_sorted(on):
    "The best first, then the other way round; what has no number stays last."
    page = on('lab/ablation')
    table = page.locator('table.results').filter(has_text='↑').first
    button = table.locator('thead button').filter(has_text='↑').first
    at = button.evaluate('b => b.closest("th").cellIndex')
    def column(): return table.locator('tbody tr').evaluate_all('(rows, i) => rows.map(r => r.cells[i].dataset.v)', at)
    before = column()
    for down in True, False:
        button.focus()
        page.keyboard.press('Enter')
        known = [float(v) for v in column() if v is not None]
        assert known == sorted(known, reverse=down) and sorted(column(), key=str) == sorted(before, key=str)
        assert None not in column()[:len(known)]
        told = button.evaluate('b => b.closest("th").ariaSort')
        assert told == ('descending' if down else 'ascending')


def test_table_turns_its_columns(browser, docs):
    "On a phone a wide table shows what fits beside its first column; buttons turn to each of the others, or to all."
    page = browser.new_page(viewport=PHONE, reduced_motion='reduce')
    page.goto((docs/'lab'/'edits.html').as_uri())
    table, bar = page.locator('table.results').first, page.locator('.leaf').first
    on, every = bar.get_by_role('button', name='the next columns'), bar.get_by_role('button').last
    shown = table.locator('thead th').locator('visible=true')
    def heads(): return shown.evaluate_all('ths => ths.map(t => t.cellIndex)')
    def fits(): return table.evaluate('t => t.scrollWidth <= t.parentElement.clientWidth + 1')
    seen = set(heads())
    assert {'background', 'edits seen'} <= {h.split(',')[0] for h in table.locator('thead button').all_inner_texts()}
    while on.is_enabled():
        assert fits() and 1 < len(heads()) < 6
        on.click()
        assert heads()[0] == 0
        seen |= set(heads())
    assert seen == set(range(table.locator('thead th').count()))
    every.click()
    assert set(heads()) == seen and not fits()
    page.set_viewport_size(COLUMN)
    page.wait_for_function("document.querySelector('.leaf').hidden")
    assert set(heads()) == seen
    page.close()


def test_every_edit(browser, docs):
    "Pictures come when they are asked for; a kind and a method are chosen, and the edits shown are theirs."
    page, asked, failed = browser.new_page(viewport=COLUMN, reduced_motion='reduce'), [], []
    page.on('request', lambda r: asked.append(r.url))
    page.on('requestfailed', lambda r: failed.append(r.url))
    page.goto((docs/'lab'/'gallery.html').as_uri())
    figure = page.locator('figure[data-gallery]')
    assert not [url for url in asked if url.endswith(('/gallery/gallery.js', '/source.webp'))]
    figure.get_by_role('button', name='See every edit').click()
    edits, kinds, methods = [figure.locator(s) for s in ('ul.edits li', '#edit-kind', 'tbody th button')]
    more = figure.get_by_role('button', name='more', exact=False).last
    edits.first.wait_for()
    assert edits.count() == 12
    worst = edits.first.text_content()
    figure.locator('#edit-order').select_option(label='best first')
    assert edits.first.text_content() != worst
    while more.is_visible(): more.click()
    every, label = edits.count(), methods.last.inner_text()
    assert every > 100
    kinds.select_option(index=1)
    kind = kinds.input_value()
    methods.last.click()
    if more.is_visible(): more.click()
    assert 0 < edits.count() < every and f'{label}: {edits.count()} edits' in figure.inner_text()
    assert all(told.startswith(f'{kind}: ') for told in edits.locator('strong').all_inner_texts())
    assert edits.first.locator('.picture').nth(1).get_attribute('aria-label').startswith(label)
    kinds.select_option(index=0)
    while more.is_visible(): more.click()
    assert edits.count() == every and methods.last.get_attribute('aria-pressed') == 'true'
    page.wait_for_load_state('networkidle')
    assert not failed
    page.close()


@pytest.mark.parametrize('name', ['inversion', 'nulltext', 'prompt2prompt'])
def test_symbols_light_up(on, name):
    "A symbol of an equation and its name in the code: by pointer and by key."
    page = on(name)
    def lit(): return {e.get_attribute('data-sym') for e in page.locator('.lit').all()}
    symbol = page.locator('.math.display .katex-html [data-sym]').first
    name = symbol.get_attribute('data-sym')
    symbol.hover()
    assert lit() == {name} and page.locator('pre .lit').count() and page.locator('.katex .lit').count()
    page.mouse.move(0, 0)
    page.locator('h1').hover()
    assert not lit()
    page.locator(f'pre [data-sym={name}]').first.hover()
    assert lit() == {name}
    page.locator('h1').hover()
    button = page.locator('.legend button').first
    button.focus()
    page.keyboard.press('Enter')
    page.evaluate('document.activeElement.blur()')
    assert lit() == {button.get_attribute('value')} and button.get_attribute('aria-pressed') == 'true'
    button.click()
    page.locator('h1').hover()
    assert not lit()


def test_touch(browser, docs):
    "The same by finger, on a phone's screen."
    context = browser.new_context(viewport={'width': 390, 'height': 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto((docs/'app'/'show.html').as_uri())
    word = figures(page, 'button[aria-pressed]').first
    word.locator('button').nth(2).tap()
    assert [l.is_visible() for l in word.locator('[data-i]').all()][:4] == [False, False, True, False]
    word.locator('button').nth(2).tap()
    assert not any(l.is_visible() for l in word.locator('[data-i]').all())
    grid = figures(page, 'form').first
    grid.locator('input').nth(3).tap()
    assert grid.locator('output').inner_text() == grid.locator('input').nth(3).get_attribute('aria-label')
    steps = figures(page, '> output').first
    slider = steps.locator('input')
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.touchscreen.tap(box['x'] + 3, box['y'] + box['height']/2)
    assert slider.input_value() == '0'
    assert steps.locator('output').inner_text() == slider.get_attribute('aria-valuetext')
    page.locator('.quarto-btn-toggle').tap()
    page.locator('#quarto-sidebar [role=button]').first.tap()
    page.locator('#quarto-sidebar a[href="../inversion.html"]').wait_for(state='visible')
    assert page.locator('#quarto-sidebar a[href="../inversion.html"]').is_visible()
    context.close()
