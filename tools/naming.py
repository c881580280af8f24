"A sheet of samples to be named blindly, and the score of what was named."
import argparse, json, re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from nulltext_nb.checks import check
from nulltext_nb.files import writing
from nulltext_nb.pipeline import fingerprint, load_pipe
from nulltext_nb.world.judge import answers
from nulltext_nb.world.scenes import random_scene

FILE = Path(__file__).resolve().parents[1]/'nbs'/'results'/'naming.json'
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
    found = re.findall(r'^\s*(\d+)\s*[:.)]?[ \t]+(.*)$', text, re.M)
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
    "sheet.png to look at, ask.txt to follow, key.json to keep away from who names."
    folder.mkdir(parents=True, exist_ok=True)
    pipe = load_pipe(device='cpu')
    captions, images = draw(pipe, n, seed)
    with writing(folder/'sheet.png') as part: sheet(images).save(part, 'PNG')
    lists = '\n'.join(f'{kind}: {", ".join(words)}' for kind, words in answers().items())
    write(folder/'ask.txt', f'{ASK}\n{lists}\n')
    key = dict(model=fingerprint(pipe), seed=seed, captions=captions)
    write(folder/'key.json', json.dumps(key, indent=1) + '\n')


def write_score(folder, file, out):
    "Compare the lines in `file` with key.json; write the score to `out` and print it."
    key = json.loads((folder/'key.json').read_text(encoding='utf-8'))
    named = read_lines(file.read_text(encoding='utf-8'))
    check(named, f'{file} has no line such as "12: a golden cat on grass"')
    result = dict(model=key['model'], seed=key['seed'], pictures=len(key['captions']), **score(key['captions'], named))
    write(out, json.dumps(result, indent=1) + '\n')
    for kind, share in result['share'].items():
        print(f'{kind:12s} {result["right"][kind]:3d} of {result["asked"][kind]:3d}  {share:.1%}')


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
    scoring.add_argument('--out', type=Path, default=FILE)
    args = parser.parse_args()
    if args.command == 'draw': write_sheet(args.folder, args.n, args.seed)
    else: write_score(args.folder, args.named, args.out)


if __name__ == '__main__': main()
