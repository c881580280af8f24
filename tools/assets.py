"Make the pictures that travel with the project: the sprite sheet, the example picture, and the teaser."
import sys
from pathlib import Path

from PIL import Image

from nulltext_nb import DATA
from nulltext_nb.cli import nulltext_demo
from nulltext_nb.files import writing
from nulltext_nb.world.art import fetch_art, mk_atlas
from nulltext_nb.world.scenes import EXAMPLE, EXAMPLE_FILE

if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    if 'atlas' in sys.argv:  # needs npm and resvg_py
        atlas = mk_atlas(fetch_art(root/'.sprites'))
        with writing(DATA/'atlas.webp') as part: atlas.save(part, lossless=True, method=6)
    with writing(EXAMPLE_FILE) as part: EXAMPLE.draw(256).save(part)
    if nulltext_demo(['--out', str(root/'out'/'demo')]): sys.exit(1)
    demo, images = root/'out'/'demo', root/'nbs'/'images'
    strip = Image.open(demo/'strip.png').convert('RGB')
    with writing(images/'teaser.webp') as part: strip.save(part, quality=90, method=6)  # a tenth of the bytes
