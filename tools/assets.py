"Make the pictures that travel with the project: the sprite sheet, the example picture, and the teaser."
import json, shutil, sys
from pathlib import Path

from PIL import Image

from nulltext_nb import DATA
from nulltext_nb.cli import nulltext_demo
from nulltext_nb.world.art import fetch_art, mk_atlas
from nulltext_nb.world.scenes import EXAMPLE, EXAMPLE_FILE

# Under the sliders of the home page
SHOWN = {'penguin': 'cat → penguin', 'blue': 'red → blue', 'beach': 'on grass → on the beach'}

if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    if 'atlas' in sys.argv:  # needs npm and resvg_py
        mk_atlas(fetch_art(root/'.sprites')).save(DATA/'atlas.webp', lossless=True, method=6)
    EXAMPLE.draw(256).save(EXAMPLE_FILE)
    if nulltext_demo(['--out', str(root/'out'/'demo')]): sys.exit(1)
    demo, images = root/'out'/'demo', root/'nbs'/'images'
    images.mkdir(exist_ok=True)
    Image.open(demo/'strip.png').convert('RGB').save(images/'teaser.webp', quality=90, method=6)  # a tenth of the bytes
    made = {e['change']: e['file'] for e in json.loads((demo/'report.json').read_text(encoding='utf-8'))['edits']}
    for name, change in SHOWN.items(): shutil.copy(demo/made[change], images/f'{name}.png')
