"The pictures of the edit benchmark, as page Every edit shows them."
import math, sys
from pathlib import Path

from PIL import Image

from nulltext_nb.lab.edits import BENCHED, load_pairs, load_rows, picture_file
from nulltext_nb.lab.gallery import write_gallery

RESULTS = Path(__file__).resolve().parents[1]/'nbs'/'results'
COLUMNS = dict(
    edit_success=('edits seen ↑', '.0%'), kept_success=('kept ↑', '.0%'),
    restored_background_psnr=('restored, dB ↑', '.1f'), restored_inside_psnr=('inside, restored ↑', '.1f'))


def told(pair, scenes):
    "A pair in words."
    captions = dict(source=pair.source.caption, target=pair.prompt)
    return dict(kind=pair.kind, change=pair.change, scene=scenes.index(pair.name)) | captions


def figures(rows, m, pairs):
    "A dict of numbers for each pair."
    each = {c: rows.of(c, m) for c in COLUMNS}
    return [{c: None if math.isnan(x[p.key]) else x[p.key] for c, x in each.items()} for p in pairs]


def pictures_of(folder, pairs, m):
    "The edits of method `m` that are in `folder`; None, so that its sheet stays, if there is not one."
    files = [picture_file(folder, p, m) for p in pairs]
    images = [Image.open(f) if f.exists() else None for f in files]
    return images if any(images) else None


def main(pictures):
    rows = load_rows(RESULTS/'edit_rows.json')
    pairs = [p for p in load_pairs() if p.key in rows.pairs]
    scenes = list(dict.fromkeys(p.name for p in pairs))
    images = {m: pictures_of(pictures, pairs, m) for m in rows.methods}
    drawn = dict(source=[p.source.draw() for p in pairs], truth=[p.truth and p.truth.draw() for p in pairs])
    methods = {m: (BENCHED[m].label, figures(rows, m, pairs)) for m in rows.methods}
    note = f'T = {rows.settings["T"]}; the photograph is given back where nothing changed.'
    write_gallery(RESULTS/'gallery', [told(p, scenes) for p in pairs], drawn | images, methods, COLUMNS, note)


if __name__ == '__main__': main(*sys.argv[1:])
