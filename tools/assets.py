"Make the pictures that travel with the project: the sprite sheet, the example picture, and the teaser."
import json, sys
from pathlib import Path

from nulltext_nb import DATA
from nulltext_nb.cli import nulltext_demo
from nulltext_nb.files import writing
from nulltext_nb.images import load_image, save_images
from nulltext_nb.world.art import fetch_art, mk_atlas
from nulltext_nb.world.scenes import EXAMPLE, EXAMPLE_FILE


def draw_teaser(demo, # Folder that `nulltext_demo` has written
                file # To write
    ):
    "The picture and its edits in two rows, with letters that a phone shows, too."
    edits = [e for e in json.loads((demo/'report.json').read_text())['edits'] if e['kind']!='another colour']
    pictures = [load_image(demo/e['file']) for e in edits]
    titles = [e['change'] for e in edits]
    save_images([EXAMPLE.draw(pictures[0].width), *pictures], ['a real picture', *titles], file, ncols=3, size=1.3)


if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    if 'atlas' in sys.argv:  # needs npm and resvg_py
        atlas = mk_atlas(fetch_art(root/'.sprites'))
        with writing(DATA/'atlas.webp') as part: atlas.save(part, lossless=True, method=6)
    with writing(EXAMPLE_FILE) as part: EXAMPLE.draw(256).save(part)
    if nulltext_demo(['--out', str(root/'out'/'demo')]): sys.exit(1)
    draw_teaser(root/'out'/'demo', root/'nbs'/'images'/'teaser.webp')
