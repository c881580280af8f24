"A sheet of samples, or of edits, to be named blindly, and the score of what was named."
import argparse, json, re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from nulltext_nb.checks import check
from nulltext_nb.files import writing
from nulltext_nb.lab.edits import DEFAULT, REFERENCE, blind_shares, load_pairs, load_rows
from nulltext_nb.lab.gallery import cut
from nulltext_nb.pipeline import fingerprint, load_pipe
from nulltext_nb.world.judge import answers
from nulltext_nb.world.scenes import random_scene

RESULTS = Path(__file__).resolve().parents[1]/'nbs'/'results'
SIDE, TOP, COLUMNS = 192, 18, 8  # pixels of a picture, of the number above it, pictures in a row
STRICT = 'nouns', 'backgrounds', 'styles'  # who names more of these than there are has guessed
ASK = '''Look at sheet.png and at nothing else, and write down what each picture shows, a line each:

12: a golden cat and a red balloon on grass
13: a pencil drawing of an owl in space

Name one thing or two, the colour or the material of each where it has one, the place, and the style if there is one.
Use the words below. Where you cannot tell, leave the word out; do not offer two for one.
'''


def draw(pipe, n, seed, bs=16):
    "`n` random captions and a sample of each, unchosen."
    rng, noise, images = np.random.default_rng(seed), torch.Generator().manual_seed(seed), []
    captions = [random_scene(rng).caption for _ in range(n)]
    for i in range(0, n, bs):
        images += pipe(captions[i:i+bs], num_inference_steps=25, guidance_scale=5., generator=noise).images
    return captions, images


def sheet(images):
    "The pictures in rows, numbered from 1."
    wide, high = SIDE + 6, SIDE + TOP + 6
    canvas = Image.new('RGB', (COLUMNS*wide, -(-len(images)//COLUMNS)*high), 'white')
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for i, im in enumerate(images):
        x, y = i%COLUMNS*wide, i//COLUMNS*high
        pen.text((x + 3, y + 2), str(i+1), 'black', font)
        canvas.paste(im.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, y + TOP))
    return canvas


def words_in(text):
    "For each kind of word, those that stand in `text`, a set."
    def stands(word): return re.search(rf'\b{word}\b', text)
    return {kind: {w for w in words if stands(w)} for kind, words in answers().items()}


def read_lines(text):
    "From '12: a cat on grass' to {12: 'a cat on grass'}; other lines are skipped."
    found = re.findall(r'^[ \t]*(\d+)[ \t]*(?:[:.)]|[ \t])[ \t]*(.*)$', text, re.M)
    return {int(n): said.strip().lower() for n, said in found}


def asked_of(caption):
    "For each kind the words that can be seen in a picture of `caption`: a style hides the colours."
    words = words_in(caption)
    return words | dict(colours=set()) if words['styles'] else words


def hits(kind, truth, said):
    "The words of `truth` that were said."
    return set() if kind in STRICT and len(said) > len(truth) else truth & said


def score(captions, named):
    "For each kind of word how many were asked for and how many were named, and what was not."
    asked, right, missed = dict.fromkeys(answers(), 0), dict.fromkeys(answers(), 0), []
    for i, caption in enumerate(captions, 1):
        truth, said = asked_of(caption), words_in(named.get(i, ''))
        for kind in truth:
            found = hits(kind, truth[kind], said[kind])
            asked[kind] += len(truth[kind])
            right[kind] += len(found)
            if found == truth[kind] and (kind not in STRICT or said[kind] <= truth[kind]): continue
            missed.append(dict(picture=i, kind=kind, shown=sorted(truth[kind]), named=sorted(said[kind])))
    share = {kind: round(right[kind]/asked[kind], 4) for kind in asked if asked[kind]}
    return dict(share=share, right=right, asked=asked, missed=missed)


def write(file, text):
    with writing(file) as part: part.write_text(text, encoding='utf-8')


def write_sheet(folder, n, seed):
    "Samples to be named."
    pipe = load_pipe(device='cpu')
    captions, images = draw(pipe, n, seed)
    write_asked(folder, images, dict(model=fingerprint(pipe), seed=seed, captions=captions))


def write_asked(folder, images, key):
    "sheet.png to look at, ask.txt to follow, key.json to keep away from who names."
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder/'sheet.png') as part: sheet(images).save(part, 'PNG')
    lists = '\n'.join(f'{kind}: {", ".join(words)}' for kind, words in answers().items())
    write(folder/'ask.txt', f'{ASK}\n{lists}\n')
    write(folder/'key.json', json.dumps(key, indent=1) + '\n')


def read_named(folder, file):
    "key.json, and the lines in `file`."
    key = json.loads((folder/'key.json').read_text(encoding='utf-8'))
    named = read_lines(file.read_text(encoding='utf-8'))
    check(named, f'{file} has no line such as "12: a golden cat on grass"')
    return key, named


def write_score(folder, named, out):
    "Compare the lines in the file `named` with key.json; write the score to `out` and print it."
    key, said = read_named(folder, named)
    result = dict(model=key['model'], seed=key['seed'], pictures=len(key['captions']), **score(key['captions'], said))
    write(out, json.dumps(result, indent=1) + '\n')
    for kind, share in result['share'].items():
        print(f'{kind:12s} {result["right"][kind]:3d} of {result["asked"][kind]:3d}  {share:.1%}')


# ---- Edits

def some_pairs(pairs, n, rng):
    "`n` of `pairs` whose edit can be named, of each kind as many, or one more."
    left = [pairs[i] for i in rng.permutation(len(pairs)) if pairs[i].kind not in ('nothing', 'weight')]
    check(n <= len(left), f'{n} edits are too many: {len(left)} can be named')
    before = [sum(q.kind == p.kind for q in left[:i]) for i, p in enumerate(left)]
    return [left[i] for i in np.argsort(before, kind='stable')[:n]]


def write_edits(folder, n, seed):
    "The default's edits of `n` pairs, those of the published method and the true pictures, in one random order."
    rng, rows = np.random.default_rng(seed), load_rows(RESULTS/'edit_rows.json')
    pairs = {p.key: p for p in load_pairs() if p.key in rows.pairs}
    shown = json.loads((RESULTS/'gallery'/'gallery.json').read_text(encoding='utf-8'))['pairs']
    check([p.prompt for p in pairs.values()] == [d['target'] for d in shown], 'the gallery is of other pairs')
    tiles = [(p.key, m) for p in some_pairs([*pairs.values()], n, rng) for m in (DEFAULT, REFERENCE, 'truth')]
    tiles = [tiles[i] for i in rng.permutation(len(tiles))]
    sheets = {m: Image.open(RESULTS/'gallery'/f'{m}.webp').convert('RGB') for m in (DEFAULT, REFERENCE, 'truth')}
    images = [cut(sheets[m], [*pairs].index(k)) for k, m in tiles]
    write_asked(folder, images, dict(model=rows.settings['model'], T=rows.settings['T'], seed=seed, tiles=tiles))


def shows(pair, text):
    "Does `text` name every word that comes, and none that goes? What is left behind a removal has to be named, too."
    said = set().union(*words_in(text).values())
    come, go = [{words[i] for words in pair.changes} - {''} for i in (1, 0)]
    if pair.kind == 'removed': come = {t.noun for t in pair.truth.things}
    return come <= said and not go & said


def score_edits(tiles, named, pairs, rows):
    "Each edit as blind.json has it, and the shares of those that were named."
    unsaid = sorted({*range(1, len(tiles)+1)} - set(named))
    check(not unsaid, f'no line for {unsaid}: write the number and a colon for what cannot be told')
    right = {(k, m): shows(pairs[k], named[i]) for i, (k, m) in enumerate(tiles, 1)}
    edits = [dict(pair=k, method=m, change=pairs[k].change, named=found,
                  judge=bool(rows.of('restored_edit_success', m)[k]), truth_named=right[k, 'truth'])
             for (k, m), found in sorted(right.items()) if m != 'truth']
    def share(m): return float(np.mean([found for (_, x), found in right.items() if x == m]))
    agreement = float(np.mean([e['named'] == e['judge'] for e in edits]))
    shares = dict(default=share(DEFAULT), google=share(REFERENCE), truth=share('truth'), agreement=agreement)
    return dict(pictures=len(edits), **shares, edits=edits)


def write_edit_score(folder, named, results=RESULTS):
    "Write blind.json, put its shares into edit.json, and print them."
    key, said = read_named(folder, named)
    rows, asked = load_rows(results/'edit_rows.json'), {k: key[k] for k in ('model', 'T')}
    check(asked.items() <= rows.settings.items(), f'edit_rows.json is not of {asked}: draw the sheet anew')
    score = score_edits(key['tiles'], said, {p.key: p for p in load_pairs()}, rows)
    write(results/'blind.json', json.dumps(asked | score, indent=1) + '\n')
    edit = json.loads((results/'edit.json').read_text(encoding='utf-8'))
    write(results/'edit.json', json.dumps(edit | blind_shares(edit, results/'blind.json'), indent=1) + '\n')
    print({k: x for k, x in score.items() if k != 'edits'})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest='command')
    drawing = commands.add_parser('draw', help='write sheet.png, ask.txt and key.json into a folder')
    drawing.add_argument('folder', type=Path)
    drawing.add_argument('--n', type=int, default=64)
    drawing.add_argument('--seed', type=int, default=640)
    scoring = commands.add_parser('score', help='compare a text of numbered lines with key.json')
    scoring.add_argument('folder', type=Path)
    scoring.add_argument('named', type=Path)
    scoring.add_argument('--out', type=Path, default=RESULTS/'naming.json')
    edits = commands.add_parser('edits', help='the same with stored edits by two methods and the true pictures')
    edits.add_argument('folder', type=Path)
    edits.add_argument('--n', type=int, default=30)
    edits.add_argument('--seed', type=int, default=641)
    scoring = commands.add_parser('score-edits', help='the same with key.json of edits; writes nbs/results/blind.json')
    scoring.add_argument('folder', type=Path)
    scoring.add_argument('named', type=Path)
    args = parser.parse_args()
    work = dict(draw=write_sheet, score=write_score, edits=write_edits) | {'score-edits': write_edit_score}
    work[args.command](**{k: x for k, x in vars(args).items() if k != 'command'})


if __name__ == '__main__': main()
