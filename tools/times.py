"How long page Live takes in a browser: `python tools/times.py`, after `make docs`."
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


def visit(page, address):
    "The whole way, once with an empty cache, and edits again."
    watch = Watch(page)
    page.goto(address + '#live?scene=0&steps=20')
    page.evaluate(FRAMES)
    watch.until('Press Invert')
    watch.press('Invert')
    print('model loaded, first step done: ', watch.until('Inverting'))
    print('inverted, 20 steps:            ', watch.until('Inverted'))
    for target in ('a cat and a blue balloon on grass', 'an owl and a red balloon on grass'):
        page.get_by_label('What it should show', exact=True).fill(target)
        page.evaluate("document.querySelector('.live-after').hidden = true")
        begun = monotonic()
        watch.press('Edit')
        watch.until('Editing')
        page.locator('.live-after').wait_for()
        print(f'first preview:                  {monotonic() - begun:.1f} s')
        print('from there to the end:         ', watch.until('Done'))
    print('threads:', page.evaluate('crossOriginIsolated ? navigator.hardwareConcurrency : 1'))


if __name__ == '__main__':
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=ROOT/'_docs'))
    Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        visit(browser.new_page(), f'http://127.0.0.1:{server.server_port}/app/live.html')
        browser.close()
    server.shutdown()
