"The picture of the editor on its page: JupyterLab in a browser, four edits of the example."
import os, re, shutil, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
BROWSER_FLAGS = ['--no-sandbox', '--no-first-run', *(f'--disable-{o}' for o in (
    'gpu', 'quic', 'background-networking', 'component-update', 'sync'))]
CODE = 'from nulltext_nb.app.editor import open_editor\nopen_editor({})'
EDITS = ('a cat and a blue balloon on grass', 'a cat and a green balloon on grass',
         'an owl and a red balloon on grass', 'a penguin and a red balloon on grass')


def write_notebook(file, options):
    "A notebook of one cell that opens the editor."
    nb = new_notebook(cells=[new_code_cell(CODE.format(options))])
    nb.metadata.kernelspec = dict(name='python3', display_name='Python 3')
    nbformat.write(nb, file)


def address(server, log):
    "Where a JupyterLab that has just been started answers."
    for _ in range(120):
        if url := re.search(r'http://127\.0\.0\.1:\d+/lab', log.read_text()): return url[0]
        if server.poll() is not None: break
        time.sleep(0.5)
    raise RuntimeError(f'JupyterLab does not start: {log.read_text()[-2000:]}')


@contextmanager
def lab(tmp, options=''):
    "The address of a JupyterLab of its own, in a folder with a notebook that opens the editor with `options`."
    home, log = tmp/'home', tmp/'log'
    home.mkdir()
    write_notebook(home/'edit.ipynb', options)
    env = os.environ | {f'JUPYTER_{d}_DIR': str(tmp/d) for d in ('CONFIG', 'DATA', 'RUNTIME')}
    env['PYTHONPATH'] = os.pathsep.join([str(ROOT), *filter(None, [env.get('PYTHONPATH')])])
    settings = 'token=', 'password=', 'ip=127.0.0.1', 'port=0', f'root_dir={home}'
    args = ['--no-browser', '--allow-root', *(f'--ServerApp.{o}' for o in settings)]
    with open(log, 'w') as out:
        command = [sys.executable, '-m', 'jupyterlab', *args]
        server = subprocess.Popen(command, cwd=home, env=env, stdout=out, stderr=out)
    try: yield f'{address(server, log)}/tree/edit.ipynb'
    finally:
        server.terminate()
        server.wait(20)


def open_editor(page, url, seconds=60):
    "Run the notebook's cell; the editor on the page. Nothing is waited for any longer than `seconds`."
    page.set_default_timeout(1000*seconds)
    page.goto(url)
    page.locator('.jp-CodeCell .jp-InputArea-editor').first.click()
    page.get_by_text('| Idle').wait_for()
    page.keyboard.press('Shift+Enter')
    editor = page.locator('.nulltext-editor')
    editor.wait_for()
    return editor


def take(page, url, file):
    "Invert the example, edit it, and keep what the editor looks like."
    editor = open_editor(page, url, 600)   # a busy machine is no reason to fail
    def press(name): editor.get_by_role('button', name=name, exact=True).first.click()
    editor.locator('select').first.select_option(index=1)
    press('Invert')
    editor.locator('.nulltext-target input').wait_for()
    for n, target in enumerate(EDITS, 1):
        field = editor.locator('.nulltext-target input')
        field.fill(target)
        field.press('Enter')
        press('Edit')
        page.wait_for_function(f'document.querySelectorAll(".nulltext-thumb").length == {n}')
    slider = editor.locator('.nulltext-picture input[type=range]').first
    slider.fill('30')
    editor.screenshot(path=file)


def main():
    from playwright.sync_api import sync_playwright
    with tempfile.TemporaryDirectory() as tmp, lab(Path(tmp)) as url, sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        take(browser.new_page(viewport=dict(width=1000, height=1300)), url, ROOT/'nbs'/'images'/'app.png')
        browser.close()


if __name__ == '__main__': main()
