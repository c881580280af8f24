"What is mended in the rendered pages: all that they need lies beside them, and only what they show is fetched."
import hashlib, io, json, logging, re, shutil
from base64 import b64decode
from html import unescape
from pathlib import Path

import numpy as np
from bs4 import BeautifulSoup, Comment, NavigableString
from fontTools.subset import Options, Subsetter, load_font, save_font
from PIL import Image

VENDOR, OWN = Path(__file__).parent/'vendor', Path(__file__).parent/'site'
FIT, FIT_MARGIN = 88, 120  # columns of text that fit beside the margin, and with it
FIT_PICTURES = 760  # pixels that do
FIT_RESULTS = 6  # columns of numbers that do
DENSITY = 1.6  # pixels of a plot for one of the page: its letters are then about as large as the text's


# ---- One page

def longest(code): return max(map(len, unescape(re.sub('<[^>]+>', '', code)).split('\n')))


def room(columns # Of the longest line
    ):
    "The class that gives a block of text the room it needs."
    if columns <= FIT: return ''
    return ' column-page-right wide' + (' wrap' if columns > FIT_MARGIN else '')


def room_printed(text):
    "The same for what a cell has printed: words are wrapped, columns keep theirs."
    return room(longest(text)) if re.search(r'\S {2,}\S', text) else ' wrap'


def make_room(html):
    "Blocks of code and of printed columns reach into the margin if they must; what is wider yet is wrapped."
    code = r'<div class="code-copy-outer-scaffold(?=">(?:(?!</div>).)*?<code[^>]*>(.*?)</code></pre></div>)'
    html = re.sub(code, lambda m: m[0] + room(longest(m[1])), html, flags=re.S)
    printed = r'<div class="cell-output (?=[\w -]*">\s*<pre[^>]*><code[^>]*>(.*?)</code></pre>)'
    return re.sub(printed, lambda m: m[0] + room_printed(m[1]).lstrip() + ' ', html, flags=re.S)


def make_room_for_pictures(html):
    "Tables of pictures reach into the margin if they must."
    def widen(m): return m[0] + (room(FIT + 1) if (m[1].count('scope="col"') + 1)*int(m[2]) > FIT_PICTURES else '')
    table = r'<div class="scroll(?=" [^>]*><table class="pictures"><thead>(.*?)</thead>.*?<td style="min-width:(\d+)px)'
    return re.sub(table, widen, html, flags=re.S)


STRIP = re.compile(r'minmax\(max\(72px,calc\(\(100% - (\d+)px\)/(\d+) - 1px\)\),1fr\)')


def even_rows(html):
    "Pictures that do not fit into one row stand in two of about the same length: of eight or fewer none is left alone."
    def split(m):
        gaps, n = int(m[1]), int(m[2])
        if n < 4: return m[0]
        half = -(-n//2)
        two = f'calc((100% - {6*(half - 1)}px)/{half} - 1px)'
        return f'minmax(max(72px,calc((100% - {gaps}px)/{n} - 1px),min({two},calc(({72*n + gaps}px - 100%)*999))),1fr)'
    return STRIP.sub(split, html)


def make_room_for_results(html):
    "Tables of results with many columns do, too."
    def widen(m): return m[0] + (room(FIT + 1) if m[1].count('scope="col"') > FIT_RESULTS else '')
    table = r'<div class="scroll(?=" [^>]*><table class="results"><thead>(.*?)</thead>)'
    return re.sub(table, widen, html, flags=re.S)


STACKED = r'<table class="([^"]*)"(?=>\s*<thead>\s*<tr>\s*<th>(Parameter|Knob|Module|Term|Maths|Name)\b)'


def mark_tables(html):
    "Tables of names and what they mean have a class: a phone stacks them. The rows of knobs can be linked to."
    def mark(m): return f'<table class="{m[1]} {"params" if m[2] == "Parameter" else "stack"}" data-of="{m[2].lower()}"'
    seen = set()
    def anchor(m):
        if m[1] in seen: return m[0]
        seen.add(m[1])
        return m[0].replace('<tr>', f'<tr id="knob-{m[1]}">', 1)
    def rows(m): return re.sub(r'<tr>\s*<td><code>(\w+)</code></td>', anchor, m[0])
    return re.sub(r'<table[^>]*data-of="knob".*?</table>', rows, re.sub(STACKED, mark, html), flags=re.S)


def one_line(line,  # Of a block of code
             opened # The tags that are open where it begins; changed to those where it ends
    ):
    "`line` as an element of its own, which knows its indent."
    start = ''.join(opened)
    for tag in re.findall('<[^>]+>', line): opened.pop() if tag[1] == '/' else opened.append(tag)
    end = ''.join(f'</{re.match("<([a-z]+)", tag)[1]}>' for tag in reversed(opened))
    text = re.sub('<[^>]+>', '', line)
    indent = len(text) - len(text.lstrip(' '))
    deep = f' style="--in:{indent}ch"' if indent else ''
    line = re.sub('^ +', r'<span class="in">\g<0></span>', line)  # of which a phone shows the half
    return f'<span class="ln"{deep}>{start}{line}{end}</span>'


def hang(html):
    "Every line of code is an element: a phone wraps it, and what it wraps hangs under the line's own indent."
    def line_by_line(m):
        opened = []
        return m[1] + '\n'.join(one_line(line, opened) for line in m[2].split('\n')) + '</code>'
    return re.sub(r'(<pre[^>]*class="sourceCode[^>]*><code[^>]*>)(.*?)</code>', line_by_line, html, flags=re.S)


def end_of(html, start, tag):
    "Where the element that begins at `start` ends."
    deep = 0
    for m in re.compile(rf'<(/?){tag}\b').finditer(html, start):
        deep += -1 if m[1] else 1
        if not deep: return html.index('>', m.start()) + 1


def fold_library(html):
    "What a page of the course has for the library opens behind one line; its first words stand above."
    head = r'<section id="for-the-library[^>]*>\s*<h2.*?</h2>(?:\s*<p>.*?</p>)?'
    if not (m := re.search(head, html, re.S)): return html
    end = end_of(html, m.start(), 'section') - len('</section>')
    fold = '<details class="more"><summary>The code, and how it is used</summary>'
    return f'{html[:m.end()]}\n{fold}{html[m.end():end]}</details>\n{html[end:]}'


SOLUTION = r'<div id="cell-\d+"[^>]*>\s*<details class="code-fold">\s*<summary>Solution</summary>'


def end_of_solution(html, start # Of its cell
    ):
    "Up to the next exercise; what is said about the last one is a paragraph, and elsewhere nothing is."
    end, section = end_of(html, start, 'div'), re.findall(r'<section id="([\w-]*)', html[:start])[-1]
    following = re.compile(r'<p><strong>\d|</section>').search(html, end)
    if following[0] != '</section>': return following.start()
    told = re.compile(r'\s*<p>.*?</p>', re.S).match(html, end) if section == 'exercises' else None
    return told.end() if told else end


def fold_solutions(html):
    "A solution folds with what it shows and what is said about it."
    done, parts = 0, []
    for m in re.finditer(SOLUTION, html):
        if m.start() < done: continue
        end = end_of_solution(html, m.start())
        inside = html[m.start():end].replace('<details class="code-fold">\n<summary>Solution</summary>', '', 1)
        inside = inside.replace('</details>', '', 1)
        parts += [html[done:m.start()], '<details class="more"><summary>Solution</summary>', inside, '</details>\n']
        done = end
    return ''.join(parts) + html[done:]


def end_of_mark(html, start # Behind the mark
    ):
    "Where what a mark folds ends: at `<!-- end of more -->`, or with the section."
    deep = 0
    for m in re.compile(r'<section\b|</section>|<!-- end of more -->').finditer(html, start):
        if not deep and m[0] != '<section': return m.start()
        deep += {'<section': 1, '</section>': -1}.get(m[0], 0)


def fold_marked(html):
    "What a page has behind `<!-- more: A LINE -->` opens behind that line."
    while m := re.search(r'<!-- more: (.*?) -->', html):
        end = end_of_mark(html, m.end())
        fold = f'<details class="more"><summary>{m[1]}</summary>'
        html = html[:m.start()] + fold + html[m.end():end] + '</details>\n' + html[end:]
    return html.replace('<!-- end of more -->', '')


def link_repository(html):
    "The bar leads to the repository, whose address the link for issues has."
    if not (found := re.search(r'href="([^"]*)/issues/new"', html)): return html
    icon = '<i class="bi bi-github" aria-hidden="true"></i>'
    link = f'<a class="nav-link" href="{found[1]}" title="The repository" aria-label="The repository">{icon}</a>'
    switch = '<li class="nav-item compact"><a class="quarto-color-scheme-toggle'
    return html.replace(switch, f'<li class="nav-item compact repository">{link}</li>{switch}', 1)


def open_reference(html):
    "Where the sidebar has no line for a page of the reference, it stands at the list of all names."
    if 'aria-current="page"' in html or not (at := re.search(r'href="index\.html" class="[^"]*sidebar-link', html)):
        return html
    html = html.replace(at[0], f'{at[0]} active', 1)
    section = re.findall(r'id="(quarto-sidebar-section-\d+)"', html[:at.start()])[-1]
    html = re.sub(rf'(data-bs-target="#{section}"[^>]*aria-expanded=)"false"', r'\1"true"', html)
    html = html.replace(f' collapsed" data-bs-toggle="collapse" data-bs-target="#{section}"',
                        f'" data-bs-toggle="collapse" data-bs-target="#{section}"')
    return html.replace(f'id="{section}" class="collapse ', f'id="{section}" class="collapse show ')


def one_theme(html):
    "Dark is a set of variables on top of the one theme, not a second theme."
    html = re.sub(r'<link(?=[^>]*quarto-color-alternate)[^>]*>', '', html)
    chosen = "if(alt)d.dataset.scheme='alternate';"  # before the first paint
    html = html.replace(chosen, chosen[:-1] + ",d.classList.add('quarto-dark');")
    light = r'<link(?=[^>]*id="quarto-bootstrap-light")[^>]*?(href="[^"]*")[^>]*>'
    return re.sub(light, r'<link rel="stylesheet" \1>', html)


def is_drawing(im # A picture
    ):
    "Is it drawn on white, as a plot is, so that a dark page may show it inverted?"
    light = np.asarray(im.convert('RGB')).min(-1) > 250
    return light.mean() > .5 and light[[0, 0, -1, -1], [0, -1, 0, -1]].all()


PICTURE = re.compile(r'<img\b([^>]*?)\bsrc="data:image/(png|webp|jpeg|gif);base64,([^"]*)"')


def move_pictures(html, up, folder):
    "Put pictures that stand inside the page into files of `folder`, which are fetched when they come near the screen."
    def move(m):
        data = b64decode(m[3])
        file = folder/f'{hashlib.sha256(data).hexdigest()[:16]}.{m[2]}'
        file.write_bytes(data)
        im = Image.open(io.BytesIO(data))
        size = f'width="{im.width}" height="{im.height}"'  # so that nothing moves when it comes
        plot = m[2] == 'png' and is_drawing(im)
        kind = f' data-drawing style="--nt-width:{im.width/DENSITY:.0f}px"' if plot else ''
        return f'<img{m[1]}{size} loading="lazy"{kind} src="{up}site_libs/{folder.name}/{file.name}"'
    return PICTURE.sub(move, html)


STILL = '<noscript><p>Without JavaScript this stands still: it shows one of its settings.</p></noscript>'


def say_it_stands_still(html):
    "Where JavaScript is off, what is to be played with says why it does not move."
    def say(m): return m[1] + STILL + m[2] if re.search(' on(?:input|change)=', m[1]) else m[0]
    return re.sub(r'(<figure style="max-width.*?)(</figure>)', say, html, flags=re.S)


def mend(html, # A rendered page
         up    # The way from its folder to the top of the site: '' or '../'
    ):
    "A page whose maths and search come from beside it, and whose parts can be reached by the keyboard."
    html = re.sub(r'https://cdn\.jsdelivr\.net/npm/katex@[\d.]+/dist/', f'{up}site_libs/katex/', html)
    html = html.replace('site_libs/fuse/fuse.min.js', 'site_libs/minisearch/minisearch.min.js')
    html = re.sub(r'<script src="([^"]*site_libs/[^"]*)">', r'<script src="\1" defer>', html)  # the text comes first
    last = re.search(rf'<script src="{up}site_libs/smalldocs.js"[^>]*></script>', html)[0]
    own = {f: f'<script src="{up}site_libs/{f}.js" defer></script>' for f in ('search', 'searchbox', 'symbols', 'site')}
    if 'class="math' not in html: own['symbols'] = ''
    html = html.replace(last, own['search'] + own['symbols'] + last + own['site'] + own['searchbox'])
    html = html.replace('bi-layout-text-sidebar-reverse', 'bi-list')
    if 'data-live' in html:  # what such a page loads beyond these two, it loads when it is used
        html = html.replace('</head>', f'<link rel="stylesheet" href="{up}site_libs/live/live.css">\n</head>')
        html = html.replace('</body>', f'<script src="{up}site_libs/live/panel.js" defer></script>\n</body>')
    if 'data-gallery' in html:
        html = html.replace('</body>', f'<script src="{up}site_libs/gallery.js" defer></script>\n</body>')
    if 'id="from-a-to-z"' in html:
        html = html.replace('</body>', f'<script src="{up}site_libs/names.js" defer></script>\n</body>')
    # A section of the sidebar opens by the keyboard, too
    section = r'(<a(?=[^>]*sidebar-link text-start)[^>]*) role="navigation"'
    html = re.sub(section, r'\1 role="button" tabindex="0"', html)
    arrow = r'(<a(?=[^>]*sidebar-item-toggle)[^>]*) role="navigation" aria-expanded="\w+" aria-label="[^"]*"'
    html = re.sub(arrow, r'\1 aria-hidden="true"', html)
    html = html.replace('<button title="Copy to Clipboard"', '<button title="Copy to Clipboard" aria-label="Copy"')
    # A wide listing scrolls by the arrow keys
    html = html.replace('<pre class="sourceCode', '<pre tabindex="0" class="sourceCode')
    html = re.sub(r'<pre>(?=<code)', '<pre tabindex="0">', html)
    html = re.sub(r'<code>(?=--[^<]{1,24}</code>)', '<code class="option">', html)  # no line breaks behind its hyphens
    html = open_reference(link_repository(one_theme(say_it_stands_still(html))))
    html = fold_marked(fold_solutions(fold_library(html)))
    html = even_rows(mark_tables(html))
    return hang(make_room_for_results(make_room_for_pictures(make_room(html))))


# ---- Search

def words(text):
    "`text` of a page for the search: without TeX, and in one line."
    text = re.sub(r'\\(?:bar|hat|tilde|mathcal|mathrm|left|right|[bB]igg?|[,;!()\[\]])', '', text)
    return ' '.join(re.sub(r'\\([a-zA-Z]+)', r'\1', text).split())


SKIP = {'nav', 'script', 'style', 'svg', 'button', 'h1', 'h2', 'h3', 'h4', 'select', 'output', 'label'}
BLOCKS = {'p', 'li', 'td', 'th', 'div', 'pre', 'br', 'figcaption', 'summary'}
UNREAD = ('thead, .doors, .source, .label, .label + p, .legend, .note, .letters, details.code-fold, [hidden], '
          'table.results, table.pictures, div[style*=auto-fill]')


def code_head(head): return head.find_parent(class_='cell-output-markdown')  # of a name, which the reference tells of


def sections(html, # A rendered page
             href # Its address from the top of the site
    ):
    "The page in parts, one for each heading: its prose, and the words of its code. Knobs are parts of their own, too."
    main = BeautifulSoup(html, 'html.parser').main
    for e in main.select(UNREAD): e.extract()
    title, is_api = main.h1.get_text(), href.startswith('api/')
    aside, skip = ({'table'}, SKIP | {'pre'}) if is_api else ({'pre'}, SKIP)  # found, but not shown; not even found
    found = [dict(id=href, href=href, title=title, section='', text='', code='', kind='page')]
    for node in main.descendants:
        if isinstance(node, Comment): continue
        if node.name in ('h2', 'h3', 'h4') and node.get('data-anchor-id') and not code_head(node):
            at, kind = f'{href}#{node["data-anchor-id"]}', 'name' if is_api else 'part'
            found.append(found[0] | dict(id=at, href=at, section=node.get_text(), text='', code='', kind=kind))
        elif node.name in BLOCKS:
            for field in 'text', 'code': found[-1][field] += ' '
        elif isinstance(node, NavigableString) and not skip & (over := {p.name for p in node.parents}):
            found[-1]['code' if over & aside else 'text'] += f'{node}'
    for row in main.select('tr[id^=knob-]'):
        at, name = f'{href}#{row["id"]}', row.code.get_text()
        told = row.select('td')[-1].get_text(' ')
        found.append(found[0] | dict(id=at, href=at, section=name, text=told, code='', kind='knob'))
    if href == 'api/index.html': found = found[:1]  # every name has its own entry
    def terms(code): return ' '.join(sorted({*re.findall(r'\w{3,}', code)}))
    return [s | dict(text=words(s['text']), code=terms(s['code'])) for s in found]


# ---- All of them

logging.getLogger('fontTools').setLevel(logging.ERROR)  # of the icons' font it says what does not matter
IMPORT = r'@import\s*(?:url\([^)]*\)|"[^"]*"|\'[^\']*\')[^;]*;'  # in CSS
DARK = '[data-bs-theme=dark]'


def mend_theme(file # Bootstrap's stylesheet
    ):
    "A theme that asks for no fonts from elsewhere, and is dark where the switch says so."
    css = re.sub(IMPORT, '', file.read_text(encoding='utf-8'))
    css = re.sub(rf'(?<![\w\]]){re.escape(DARK)}', f':is({DARK},[data-scheme=alternate])', css)
    file.write_text(css, encoding='utf-8')


def trim_icons(folder, # Of bootstrap-icons
               used # What the pages and their styles say
    ):
    "Keep of the icon font, and of its stylesheet, the icons that are used: a few of 2,000."
    css = folder/'bootstrap-icons.min.css'
    text = css.read_text(encoding='utf-8')
    rules = dict(re.findall(r'\.bi-([\w-]+)::before\{content:"\\(\w+)"\}', text))
    names = set(re.findall(r'\bbi-([\w-]+)', used)) & {*rules}
    codes = {rules[n] for n in names} | set(re.findall(r'content:\s*"\\(f\w{3})"', used))
    font = load_font(folder/'fonts'/'bootstrap-icons.woff', options := Options(flavor='woff'))
    subset = Subsetter(options)
    subset.populate(unicodes=[int(c, 16) for c in codes])
    subset.subset(font)
    save_font(font, folder/'fonts'/'bootstrap-icons.woff', options)
    (folder/'fonts'/'bootstrap-icons.woff2').unlink()
    text = re.sub(r'\.bi-([\w-]+)::before\{content:"\\\w+"\}', lambda m: m[0] if m[1] in names else '', text)
    css.write_text(re.sub(r'url\("[^"]*woff2[^"]*"\) format\("woff2"\),', '', text), encoding='utf-8')


def add_gallery(folder, # Of the benchmark's pictures
                to # Beside the pages
    ):
    "The pictures as they are, and the facts as a script: pages opened as files could not read them."
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns('*.json'))
    (to/'gallery.js').write_text(f'window.galleryData = {(folder/"gallery.json").read_text(encoding="utf-8")}',
                                 encoding='utf-8')


def finish(docs, # The rendered site
           results # Folder of the stored results
    ):
    "Put beside the pages what they would fetch, and mend them."
    libs = docs/'site_libs'
    (pictures := libs/'pictures').mkdir()
    for name in 'katex', 'minisearch': shutil.copytree(VENDOR/name, libs/name, dirs_exist_ok=True)
    for file in OWN.glob('*.js'): shutil.copy(file, libs)
    shutil.rmtree(libs/'fuse')
    add_gallery(results/'gallery', libs/'gallery')
    for css in (libs/'themes').glob('*.css'): mend_theme(css)
    index, used = [], (libs/'smalldocs.css').read_text(encoding='utf-8')
    for p in sorted(docs.rglob('*.html')):
        up = '../'*len(p.relative_to(docs).parent.parts)
        html = move_pictures(mend(p.read_text(encoding='utf-8'), up), up, pictures)
        p.write_text(html, encoding='utf-8')
        index += sections(html, p.relative_to(docs).as_posix())
        used += html
    (docs/'search.json').unlink()  # pages opened as files could not read it
    script = f'window.searchIndex = {json.dumps(index, ensure_ascii=False)}'
    (libs/'searchindex.js').write_text(script, encoding='utf-8')
    trim_icons(libs/'bootstrap-icons', used + ''.join(f.read_text(encoding='utf-8') for f in OWN.glob('*.js')))
