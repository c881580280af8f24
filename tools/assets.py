"Make the pictures that travel with the project: the sprite sheet, the example picture, and the teaser."
import shutil, sys
from pathlib import Path

from nulltext_nb.cli import nulltext_demo
from nulltext_nb.scenes import DATA, EXAMPLE, EXAMPLE_FILE, fetch_art, mk_atlas

if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    if 'atlas' in sys.argv: mk_atlas(fetch_art(root/'.sprites')).save(DATA/'atlas.png', optimize=True)  # needs npm and resvg_py
    EXAMPLE.draw(256).save(EXAMPLE_FILE)
    if nulltext_demo(['--out', str(root/'out'/'demo')]): sys.exit(1)
    (root/'nbs'/'images').mkdir(exist_ok=True)
    shutil.copy(root/'out'/'demo'/'strip.png', root/'nbs'/'images'/'teaser.png')
