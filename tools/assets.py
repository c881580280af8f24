"Make the pictures that travel with the project: the sprite sheet, the example picture, and the teaser."
import json, re, sys
from pathlib import Path

from PIL import Image

from nulltext_nb import DATA
from nulltext_nb.cli import nulltext_demo
from nulltext_nb.files import writing
from nulltext_nb.images import load_image
from nulltext_nb.world.art import fetch_art, mk_atlas
from nulltext_nb.world.scenes import EXAMPLE, EXAMPLE_FILE


SIDE, GAP, BELOW = 384, 18, 116  # pixels; under each picture is room for its name, which the page writes there


def draw_teaser(demo, # Folder that `nulltext_demo` has written
                file # To write
    )->list: # What the pictures are, in order
    "The picture and its edits in two rows on nothing."
    edits = [e for e in json.loads((demo/'report.json').read_text())['edits'] if e['kind']!='another colour']
    edits.sort(key=lambda e: not e['change'].startswith(('on ', '−')))  # the clearest first
    titled = {'a real picture': EXAMPLE.draw(SIDE)} | {e['change']: load_image(demo/e['file']) for e in edits}
    sheet = Image.new('RGBA', (3*SIDE + 2*GAP, 2*(SIDE + BELOW)), (0, 0, 0, 0))
    for i,im in enumerate(titled.values()):
        sheet.paste(im.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (i%3*(SIDE + GAP), i//3*(SIDE + BELOW)))
    with writing(file) as part: sheet.save(part, 'WEBP', quality=90, method=6)
    return list(titled)


if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    if 'atlas' in sys.argv:  # needs npm and resvg_py
        atlas = mk_atlas(fetch_art(root/'.sprites'))
        with writing(DATA/'atlas.webp') as part: atlas.save(part, lossless=True, method=6)
    with writing(EXAMPLE_FILE) as part: EXAMPLE.draw(256).save(part)
    if nulltext_demo(['--out', str(root/'out'/'demo')]): sys.exit(1)
    titles = draw_teaser(root/'out'/'demo', root/'nbs'/'images'/'teaser.webp')
    home = (root/'nbs'/'index.ipynb').read_text(encoding='utf-8')
    if [f'<li>{t}</li>' for t in titles] != re.findall('<li>.*?</li>', home)[:len(titles)]:
        sys.exit(f'Home names other pictures: write {titles} there')
