"Make the pictures that travel with the project: the sprite sheet, the example picture, and the teaser."
import re, sys
from pathlib import Path

from PIL import Image

from nulltext_nb import DATA, edit, invert, load_pipe
from nulltext_nb.demo import DEMO_EDITS
from nulltext_nb.files import writing
from nulltext_nb.pipeline import image_size
from nulltext_nb.world.art import fetch_art, mk_atlas
from nulltext_nb.world.scenes import EXAMPLE, EXAMPLE_FILE


SIDE, GAP, BELOW = 384, 18, 116  # pixels; under each picture is room for its name, which the page writes there


def draw_teaser(file # To write
    )->list: # What the pictures are, in order
    "The picture and the demo's edits in two rows on nothing; the picture is finer than the model draws, and stays so."
    pipe, photo = load_pipe(), EXAMPLE.draw(SIDE)
    inv = invert(pipe, EXAMPLE.draw(image_size(pipe)), EXAMPLE.caption, w=2.)
    chosen = [p for p in DEMO_EDITS if p.kind!='colour']
    chosen.sort(key=lambda p: not p.change.startswith(('on ', '−')))  # the clearest first
    titled = {'a real picture': photo} | {p.change: edit(pipe, inv, p.prompt, photo=photo) for p in chosen}
    sheet = Image.new('RGBA', (3*SIDE + 2*GAP, 2*(SIDE + BELOW)), (0, 0, 0, 0))
    for i,im in enumerate(titled.values()):
        large = im.resize((SIDE, SIDE), Image.Resampling.LANCZOS)  # a style has the model's size
        sheet.paste(large, (i%3*(SIDE + GAP), i//3*(SIDE + BELOW)))
    with writing(file) as part: sheet.save(part, 'WEBP', quality=90, method=6)
    return list(titled)


if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    if 'atlas' in sys.argv:  # needs npm and resvg_py
        atlas = mk_atlas(fetch_art(root/'.sprites'))
        with writing(DATA/'atlas.webp') as part: atlas.save(part, lossless=True, method=6)
    with writing(EXAMPLE_FILE) as part: EXAMPLE.draw(256).save(part)
    titles = draw_teaser(root/'nbs'/'images'/'teaser.webp')
    home = (root/'nbs'/'index.ipynb').read_text(encoding='utf-8')
    if [f'<li>{t}</li>' for t in titles] != re.findall('<li>.*?</li>', home)[:len(titles)]:
        sys.exit(f'Home names other pictures: write {titles} there')
