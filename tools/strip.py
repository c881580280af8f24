"Draw the same captions from the same noise by checkpoints of the denoiser: what it learns, and when."
import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors import safe_open

from nulltext_nb.checks import check
from nulltext_nb.files import writing
from nulltext_nb.pipeline import load_pipe

FILE = Path(__file__).resolve().parents[1]/'nbs'/'images'/'training.webp'
CAPTIONS = ('a cat on grass', 'a golden rabbit in a forest', 'a chocolate cake on a table',
            'a castle and a tree in the mountains', 'a pencil drawing of a house in the snow',
            'a neon sign of a rocket in space')
SIDE, MARGIN, TOP = 128, 118, 22  # pixels of a picture, of the captions beside the rows, of the numbers above them


def latents_seen(file):
    "How many latents had been shown when the checkpoint was written."
    with safe_open(file, 'pt') as f: return int(f.metadata()['seen'])


def put_weights(pipe, file):
    "Give `pipe` the averaged weights of a checkpoint; both must be of one shape."
    with safe_open(file, 'pt') as f:
        for part in 'unet', 'text_encoder':
            start = f'ema.module.{part}.'
            state = {k.removeprefix(start): f.get_tensor(k) for k in f.keys() if k.startswith(start)}
            getattr(pipe, part).load_state_dict(state)


def samples(pipe, seed=0):
    "One picture per caption, unchosen."
    noise = torch.Generator().manual_seed(seed)
    return pipe(list(CAPTIONS), num_inference_steps=25, guidance_scale=5., generator=noise).images


def lines(text, width=16):
    "`text` broken between words into lines of about `width` letters."
    out = ['']
    for word in text.split():
        if len(out[-1]) + len(word) > width: out.append('')
        out[-1] = f'{out[-1]} {word}'.strip()
    return '\n'.join(out)


def strip(columns, names):
    "`columns` of pictures side by side, a name above each and the captions at the left."
    canvas = Image.new('RGB', (MARGIN + len(columns)*SIDE, TOP + len(CAPTIONS)*SIDE), 'white')
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for y, caption in enumerate(CAPTIONS):
        pen.text((2, TOP + y*SIDE + SIDE//2), lines(caption), 'black', font, anchor='lm')
    for x, (name, column) in enumerate(zip(names, columns)):
        pen.text((MARGIN + x*SIDE + SIDE//2, TOP//2), name, 'black', font, anchor='mm')
        for y, im in enumerate(column): canvas.paste(im.resize((SIDE, SIDE)), (MARGIN + x*SIDE, TOP + y*SIDE))
    return canvas


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='checkpoints of the part unet, any names')
    parser.add_argument('--out', type=Path, default=FILE, help='picture to write, WebP')
    args = parser.parse_args()
    files = sorted(args.folder.glob('*.safetensors'), key=latents_seen)
    check(files, f'no *.safetensors in {args.folder}')
    pipe, columns = load_pipe(device='cpu'), []
    for file in files:
        put_weights(pipe, file)
        columns.append(samples(pipe))
    picture = strip(columns, [f'{latents_seen(f):,} latents' for f in files])
    with writing(args.out) as part: picture.save(part, 'WEBP', quality=88, method=6)
    print(f'{args.out.name}: {args.out.stat().st_size/1e3:.0f} kB')


if __name__ == '__main__': main()
