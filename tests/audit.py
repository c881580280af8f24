"""Run the commands, the demo and a training, and note what they do to the machine: `python tests/audit.py FOLDER`.

Everything comes from strangers here: captions, names of files, entries of a benchmark, a model's folder, and all of it
holds code that calls for attention. Python reports to `watch` whatever it opens, connects, starts or compiles.
Prints, as JSON, how many events were seen, how the jobs ended, and which events nobody should see. `all` as a second
argument takes every benchmark, too, with the embedded model.
"""
import json, os, sys
from collections import Counter
from pathlib import Path

FOLDER = Path(sys.argv[1]).resolve()
MARK = 'touch_the_canary'
CODE = f"__import__('os').system('{MARK}')"  # what data must never become
PACKAGE = str(Path(__file__).resolve().parents[1]/'nulltext_nb')
PROGRAMS = {'git', 'fc-list', 'lscpu', 'ldconfig'}  # that `provenance` and other packages ask what there is

NEVER = {'pickle.find_class', 'os.system', 'os.exec', 'os.spawn', 'os.posix_spawn', 'pty.spawn', 'webbrowser.open',
         'urllib.Request', 'http.client.connect', 'socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname',
         'socket.sendto', 'socket.sendmsg'}
CHANGES = {'os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.symlink', 'os.link', 'os.truncate', 'os.chmod',
           'shutil.rmtree', 'sqlite3.connect'}
WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
seen, odd = Counter(), []


def may_change(path):
    "Is `path` in the folder that is ours, or no file at all?"
    if not isinstance(path, (str, bytes, os.PathLike)): return True
    path = os.path.realpath(os.fsdecode(path))
    return path.startswith((f'{FOLDER}/', '/dev/', '/proc/self/')) or path == str(FOLDER) or path.endswith(':memory:')


def caller(depth=2):
    "The file whose code caused an event."
    return sys._getframe(depth).f_code.co_filename


def is_import():
    frame = sys._getframe(2)
    while frame and not frame.f_code.co_filename.startswith('<frozen importlib'): frame = frame.f_back
    return frame is not None


def started(args): return os.path.basename(os.fsdecode(args[1][0] if isinstance(args[1], (list, tuple)) else args[1]))


def is_odd(event, args):
    "Should nobody see this?"
    own = event == 'pickle.find_class' and '/multiprocessing/' in caller(3)   # from a process that we started
    if event in NEVER: return not own
    if event == 'subprocess.Popen': return started(args) not in PROGRAMS or MARK in str(args)
    if event == 'marshal.loads': return not is_import()
    if event == 'import': return MARK in str(args[0])
    if event == 'compile': return MARK in str(args[0]) or caller(3).startswith(PACKAGE)
    if event == 'exec': return caller(3).startswith(PACKAGE)
    if event == 'open': return bool((args[2] or 0) & WRITE) and not may_change(args[0])
    return event in CHANGES and not all(map(may_change, args))


def watch(event, args):
    seen[event] += 1
    if is_odd(event, args) and len(odd) < 20: odd.append(f'{event}: {str(args)[:200]} from {caller()}')


# ---- What is done

def trap(folder):
    "Weights that run code when they are unpickled, and nothing else."
    next((folder/'unet').glob('*.safetensors')).unlink()
    (folder/'unet'/'diffusion_pytorch_model.bin').write_bytes(f"cos\nsystem\n(S'touch {FOLDER}/sprung'\ntR.".encode())


def prepare():
    "The stranger's files."
    from shutil import copytree

    from PIL import Image

    from nulltext_nb.lab.pie_files import mk_pie_fixture
    from nulltext_nb.pipeline import random_pipe
    Image.effect_noise((64, 64), 80).convert('RGB').save(FOLDER/f'$({MARK}).png')
    random_pipe().save_pretrained(FOLDER/'model')
    index = FOLDER/'model'/'model_index.json'
    index.write_text(json.dumps(json.loads(index.read_text()) | dict(_name_or_path=CODE, _comment=CODE)))
    trap(copytree(FOLDER/'model', FOLDER/'trap'))
    mapping = mk_pie_fixture(FOLDER/'pie', 1)/'mapping_file.json'
    item, = json.loads(mapping.read_text()).values()
    mapping.write_text(json.dumps({MARK: item | dict(original_prompt=f'a [cat] {CODE}', editing_prompt='a [dog]')}))


def train():
    "A few steps of the judge's training, with a checkpoint."
    from nulltext_nb.world.data import scene_set
    from nulltext_nb.world.training import train_judge
    scenes, pixels, _ = scene_set(8, 1)
    train_judge(scenes, pixels, 2, path=FOLDER/'judge.safetensors', device='cpu', bs=4)


def jobs():
    "Names, and what to call."
    from nulltext_nb import cli
    picture, words = f'{FOLDER}/$({MARK}).png', f'a red cat {CODE}'
    tiny = ['--model', f'{FOLDER}/model', '--device', 'cpu']
    kept, figures = f'{FOLDER}/{MARK}.safetensors', f'{FOLDER}/pie.json'
    yield 'invert', lambda: cli.nulltext_invert([picture, words, '-o', kept, '--T', '2', *tiny])
    edited = [f'a red dog {CODE}', '-o', f'{FOLDER}/out.png', '--blend', 'cat', 'dog', '--weight', 'red', '2']
    yield 'edit', lambda: cli.nulltext_edit([kept, *edited, '--mask', picture, *tiny])
    free = ['--columns', 'psnr', 'ssim', '--T', '2', '--w', '3', '--data', f'{FOLDER}/pie', '--json', figures]
    yield 'pie', lambda: cli.nulltext_bench(['pie', *free, *tiny])
    yield 'demo', lambda: cli.nulltext_demo(['--T', '4', '--out', f'{FOLDER}/demo', '--device', 'cpu'])
    yield 'trap', lambda: cli.nulltext_invert([picture, words, '--model', f'{FOLDER}/trap', '-o', f'{FOLDER}/never'])
    yield 'train', train
    if 'all' not in sys.argv[2:]: return
    for name in 'model', 'race', 'ablation', 'edit', 'knobs':
        yield name, lambda: cli.nulltext_bench([name, '--quick', '--json', f'{FOLDER}/{name}.json'])


def main():
    sys.addaudithook(watch)
    talk, sys.stdout = sys.stdout, sys.stderr
    prepare()
    ended = {name: work() or 0 for name, work in jobs()}
    print(json.dumps(dict(ended=ended, events=sum(seen.values()), kinds=seen, odd=list(odd))), file=talk)


if __name__ == '__main__': main()
