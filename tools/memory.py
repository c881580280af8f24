"Peak memory of one null-text step at Stable Diffusion 1.x's size on the CPU, each way in a process of its own."
import json, platform, resource, subprocess, sys, time
from pathlib import Path

import torch

from nulltext_nb.files import writing

FILE = Path(__file__).resolve().parents[1]/'nbs'/'results'/'memory.json'
WAYS = {  # precision, fused attention, gradients for the weights, checkpointing
    'fp32': ('float32', True, False, False),
    'fp32_checkpointing': ('float32', True, False, True),
    'fp32_explicit_weights': ('float32', False, True, False),
    'bf16': ('bfloat16', True, False, False),
    'bf16_checkpointing': ('bfloat16', True, False, True),
    'bf16_explicit_weights': ('bfloat16', False, True, False)}
EMPTY = '''
import resource, torch, diffusers
from diffusers import UNet2DConditionModel
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20)
'''


def mk_unet(dtype, fused, weights, checkpointing):
    "A UNet of Stable Diffusion 1.x's size with random weights."
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor
    torch.set_default_dtype(dtype)
    channels = (320, 640, 1280, 1280)
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8,
                                block_out_channels=channels)
    torch.set_default_dtype(torch.float32)
    unet.eval().requires_grad_(weights)
    if not fused: unet.set_attn_processor(AttnProcessor())
    if checkpointing: unet.enable_gradient_checkpointing()
    return unet


def step(dtype, *switches):
    "One forward and one backward pass to the null embedding: seconds, and peak memory in GiB."
    dtype = getattr(torch, dtype)
    unet = mk_unet(dtype, *switches)
    phi = torch.randn(1, 77, 768, requires_grad=True)
    z = torch.randn(1, 4, 64, 64).to(dtype)
    start = time.time()
    unet(z, 501, phi.to(dtype)).sample.float().square().mean().backward()
    seconds = time.time() - start
    return dict(seconds=seconds, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20,
                weights=sum(p.nbytes for p in unet.parameters())/2**30,
                parameters=sum(p.numel() for p in unet.parameters()))


def run(*args):
    "What Python prints last when it is started with `args`."
    out = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def main():
    empty = run('-c', EMPTY)
    ways = {name: run(__file__, name) for name in WAYS}
    out = dict(machine=f'{platform.machine()}, cpu', torch=torch.__version__, empty=empty, ways=ways)
    with writing(FILE) as part: part.write_text(json.dumps(out, indent=1) + '\n')
    for name, w in ways.items():
        print(f'{name:24s} {w["peak"] - empty:5.1f} GiB ({w["weights"]:.1f} weights) {w["seconds"]:6.1f} s')


if __name__ == '__main__':
    if len(sys.argv) > 1: print(json.dumps(step(*WAYS[sys.argv[1]])))
    else: main()
