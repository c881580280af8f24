"Make the pictures that travel with the project: the sprite sheet, the example picture, and the teaser."
import json, sys
from pathlib import Path

from matplotlib.font_manager import findfont as find_font
from PIL import Image, ImageDraw, ImageFont

from nulltext_nb import DATA
from nulltext_nb.cli import nulltext_demo
from nulltext_nb.files import writing
from nulltext_nb.images import load_image
from nulltext_nb.world.art import fetch_art, mk_atlas
from nulltext_nb.world.scenes import EXAMPLE, EXAMPLE_FILE


SIDE, LETTERS, GAP, GREY = 384, 44, 18, '#77808a'  # pixels; a grey that is legible on white and on a dark page


def draw_teaser(demo, # Folder that `nulltext_demo` has written
                file # To write
    ):
    "The picture and its edits in two rows on nothing, with letters that a phone shows, too."
    edits = [e for e in json.loads((demo/'report.json').read_text())['edits'] if e['kind']!='another colour']
    edits.sort(key=lambda e: not e['change'].startswith(('on ', '−')))  # the clearest first
    titled = {e['change']: load_image(demo/e['file']) for e in edits}
    titled = {'a real picture': EXAMPLE.draw(SIDE)} | titled
    font = ImageFont.truetype(find_font('DejaVu Sans'), LETTERS)
    rows = [0, SIDE + 5*LETTERS//2]
    sheet = Image.new('RGBA', (3*SIDE + 2*GAP, 2*SIDE + 4*LETTERS), (0, 0, 0, 0))
    for i,(title,im) in enumerate(titled.items()):
        x, y = i%3*(SIDE + GAP), rows[i//3]
        sheet.paste(im.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        if font.getlength(title) > SIDE: title = title.replace('→ ', '→\n')
        where = x + SIDE/2, y + SIDE + LETTERS/5
        ImageDraw.Draw(sheet).multiline_text(where, title, GREY, font, 'ma', 2, 'center')
    with writing(file) as part: sheet.save(part, 'WEBP', quality=90, method=6)


if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    if 'atlas' in sys.argv:  # needs npm and resvg_py
        atlas = mk_atlas(fetch_art(root/'.sprites'))
        with writing(DATA/'atlas.webp') as part: atlas.save(part, lossless=True, method=6)
    with writing(EXAMPLE_FILE) as part: EXAMPLE.draw(256).save(part)
    if nulltext_demo(['--out', str(root/'out'/'demo')]): sys.exit(1)
    draw_teaser(root/'out'/'demo', root/'nbs'/'images'/'teaser.webp')
