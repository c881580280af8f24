"How long page Live takes in a browser, with one thread, then with more: `python tools/times.py`, after `make docs`."
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic

from playwright.sync_api import sync_playwright
from screenshot import BROWSER, BROWSER_FLAGS

ROOT = Path(__file__).parents[1]
SAYS = "start => document.querySelector('.live-status')?.textContent.startsWith(start)"
FRAMES = "() => { window.frames_ = 0; const f = () => { frames_++; requestAnimationFrame(f) }; f() }"


class Quiet(SimpleHTTPRequestHandler):
    "A server that says nothing."
    def log_message(self, *args): pass


class Watch:
    "Presses buttons of a panel, and tells how long it took until its line began like this."
    def __init__(self, page): self.page = page

    def until(self, start):
        begun, frames = monotonic(), self.page.evaluate('frames_')
        self.page.wait_for_function(SAYS, arg=start, timeout=600_000)
        seconds = monotonic() - begun
        return f'{seconds:.1f} s ({(self.page.evaluate("frames_") - frames)/max(seconds, 0.01):.0f} frames a second)'

    def press(self, name): self.page.get_by_role('button', name=name, exact=True).click()


def load():
    "What keeps the machine busy besides."
    return Path('/proc/loadavg').read_text().split()[0] if Path('/proc/loadavg').exists() else '?'


def asked_for(page):
    "What the page and its worker ask for in the panel's folder, by file name; filled as they do."
    names = set()
    def hear(request):
        if found := re.search(r'/site_libs/live/([\w.-]+)', request.url): names.add(found[1])
    page.on('request', hear)
    return names


def visit(page, address):
    "The whole way, with an empty cache at the first visit; and edits again."
    watch, names = Watch(page), asked_for(page)
    page.goto(address + '#live?scene=0&steps=20')
    page.evaluate(FRAMES)
    watch.until('Press Invert')
    threads = page.evaluate('crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1')
    print(f'threads: {threads}; load average: {load()}')
    watch.press('Invert')
    print('model loaded, first step done: ', watch.until('Inverting'))
    size = sum((ROOT/'_docs'/'site_libs'/'live'/name).stat().st_size for name in names)
    print(f'files of the panel:             {size/1e6:.1f} MB')
    print('inverted, 20 steps:            ', watch.until('Inverted'))
    watch.press('Invert')
    print('again, the model ready: a step ', watch.until('Inverting'))
    print('from there to the end:         ', watch.until('Inverted'))
    for target in ('a cat and a blue balloon on grass', 'an owl and a red balloon on grass'):
        page.get_by_label('What it should show', exact=True).fill(target)
        page.evaluate("document.querySelector('.live-after').hidden = true")
        begun = monotonic()
        watch.press('Edit')
        watch.until('Editing')
        page.locator('.live-after').wait_for()
        print(f'first preview:                  {monotonic() - begun:.1f} s')
        print('from there to the end:         ', watch.until('Done'))
    print('load average:', load(), flush=True)


if __name__ == '__main__':
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=ROOT/'_docs'))
    Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        context, address = browser.new_context(), f'http://127.0.0.1:{server.server_port}/app/live.html'
        for _ in range(2):  # from the second visit on the page stands alone, as threads ask for
            page = context.new_page()
            visit(page, address)
            page.wait_for_function('navigator.serviceWorker.ready.then(() => true)')
            page.close()
        browser.close()
    server.shutdown()
