"The panel of page Live: its engine, fetched from npm once per environment, the model, and the files of tools/live/."
import gzip, hashlib, json, shutil, subprocess, sys, tarfile, tempfile
from pathlib import Path

from nulltext_nb.app.export import export_live
from nulltext_nb.files import writing
from nulltext_nb.pipeline import load_pipe

OWN = Path(__file__).parent/'live'
PACKAGE = 'onnxruntime-web@1.30.0'
ENGINE = {  # Its two builds, the second for WebGPU, and what they must be
          'ort.wasm.bundle.min.mjs': '11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90',
          'ort-wasm-simd-threaded.wasm': '3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2',
          'ort.jspi.bundle.min.mjs': '07ec090355e11b342c95436db54da2d0c2bd5b1d319745bfd3337e6bdcf170ac',
          'ort-wasm-simd-threaded.jspi.wasm': 'a54c76f86b0f0d9572380cf1c6292a7b3903716ffcbcd6b0e5c7050bf430eb93'}
KEPT = Path(sys.prefix)/'share'/PACKAGE  # beside the other packages of this environment


def unpack(archive):
    "Keep of npm's `archive` what the panel needs, if it is what we know."
    with tarfile.open(archive) as tar:
        for name, digest in ENGINE.items():
            data = tar.extractfile(f'package/dist/{name}').read()
            if hashlib.sha256(data).hexdigest() != digest: raise OSError(f'{name} of {PACKAGE} is not what it was')
            with writing(KEPT/name) as part: part.write_bytes(data)


def engine():
    "The folder with the engine's files, fetched when it is asked for the first time; None where that cannot be done."
    if all((KEPT/name).exists() for name in ENGINE): return KEPT
    with tempfile.TemporaryDirectory() as tmp:
        try:
            pack = ['npm', 'pack', '--silent', PACKAGE]
            out = subprocess.run(pack, cwd=tmp, check=True, capture_output=True, text=True)
            unpack(Path(tmp)/out.stdout.split()[-1])
        except (OSError, subprocess.CalledProcessError) as e:
            print(f'page Live is built without its panel: npm could not fetch {PACKAGE} ({e})')
            return None
    return KEPT


def add_engine(folder, # Of `export_live`
               found # Of `engine`
    ):
    "The engine in `folder`, its wasm zipped, as few servers would, and told of in `model.json`."
    facts = json.loads((folder/'model.json').read_text(encoding='utf-8'))
    for name in ENGINE:
        if name.endswith('.mjs'):
            shutil.copy(found/name, folder)
            continue
        data = gzip.compress((found/name).read_bytes(), 9, mtime=0)
        (folder/f'{name}.gz').write_bytes(data)
        facts['files'][f'{name}.gz'] = len(data)
    (folder/'model.json').write_text(json.dumps(facts, ensure_ascii=False), encoding='utf-8')


def add_panel(folder # Two below the top of the site
    ):
    "Everything that the panel fetches in `folder`; without an engine it can only say so."
    if found := engine():
        export_live(load_pipe(device='cpu'), folder)
        add_engine(folder, found)
    folder.mkdir(exist_ok=True)
    for file in OWN.iterdir():
        if file.suffix in ('.js', '.css'): shutil.copy(file, folder)
    (folder/'threads.js').replace(folder.parents[1]/'threads.js')  # a service worker works for what is below it


if __name__ == '__main__': sys.exit(engine() is None)
