"""The package where only it and what it requires is installed: every name, one picture through Python and the shell.

A script for any environment: `python tests/alone.py` runs in an empty folder, needs nothing for development, and exits
with a status other than zero where something is missing.
"""
import os, pkgutil, subprocess, sys, tempfile
from importlib import import_module
from pathlib import Path

import nulltext_nb

TRAINING = {'fastai', 'resvg_py'}  # what only those need who train the embedded model anew
COMMANDS = ('nulltext_demo', 'nulltext_invert', 'nulltext_edit', 'nulltext_bench')


def load(name):
    "The module, or None where it needs what is for training."
    try: return import_module(name)
    except ModuleNotFoundError as e:
        if e.name.split('.')[0] not in TRAINING: raise


def every_name():
    "Import all modules, and look up what each offers."
    names = [m.name for m in pkgutil.walk_packages(nulltext_nb.__path__, 'nulltext_nb.')]
    modules = {name: load(name) for name in names}
    for module in filter(None, modules.values()):
        for name in getattr(module, '__all__', ()): getattr(module, name)
    left = [name for name, module in modules.items() if not module]
    assert all(name.startswith('nulltext_nb.world.') for name in left), left
    for name in nulltext_nb.__all__: getattr(nulltext_nb, name)


def one_picture():
    "Inverted, kept, read and edited in Python."
    from PIL import Image

    from nulltext_nb import Inversion, edit, invert, load_image, load_pipe
    Image.radial_gradient('L').convert('RGB').resize((150, 150)).save('in.png')
    pipe = load_pipe()
    invert(pipe, load_image('in.png'), 'a cat on grass', T=2).save('a.safetensors')
    edit(pipe, Inversion.load('a.safetensors'), 'a dog on grass').save('a.png')


def sh(name, *args):
    "Run one of the commands that were installed beside this Python; gives what it said."
    command = [Path(sys.executable).with_name(name), *args]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def commands():
    "All say what they take; two do what Python did."
    for name in COMMANDS: assert 'usage' in sh(name, '--help').lower()
    sh('nulltext_invert', 'in.png', 'a cat on grass', '-o', 'b.safetensors', '--T', '2')
    sh('nulltext_edit', 'b.safetensors', 'a dog on grass', '-o', 'b.png')
    assert Path('b.png').read_bytes() == Path('a.png').read_bytes()


if __name__ == '__main__':
    os.environ |= {'HF_HUB_OFFLINE': '1', 'MPLBACKEND': 'Agg'}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for part in (every_name, one_picture, commands): part()
        os.chdir('/')
    print(f'{nulltext_nb.__file__} works')
