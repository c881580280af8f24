"Peak memory of one null-text step at Stable Diffusion 1.x's size, 512 px, on the CPU: each way in a process of its own."
import json, platform, resource, subprocess, sys, time
from pathlib import Path

import torch

WAYS = {  # precision, fused attention, gradients for the weights, checkpointing
    'fp32': ('float32', True, False, False), 'fp32_checkpointing': ('float32', True, False, True), 'fp32_explicit_weights': ('float32', False, True, False),
    'bf16': ('bfloat16', True, False, False), 'bf16_checkpointing': ('bfloat16', True, False, True), 'bf16_explicit_weights': ('bfloat16', False, True, False)}


def step(dtype, fused, weights, checkpointing):
    "One forward and one backward pass to the null embedding, with random weights: seconds, and peak memory in GiB."
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor
    dtype = getattr(torch, dtype)
    torch.set_default_dtype(dtype)
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, block_out_channels=(320, 640, 1280, 1280), attention_head_dim=8)
    torch.set_default_dtype(torch.float32)
    unet.eval().requires_grad_(weights)
    if not fused: unet.set_attn_processor(AttnProcessor())
    if checkpointing: unet.enable_gradient_checkpointing()
    phi = torch.randn(1, 77, 768, requires_grad=True)
    start = time.time()
    unet(torch.randn(1, 4, 64, 64).to(dtype), 501, phi.to(dtype)).sample.float().square().mean().backward()
    return dict(seconds=time.time() - start, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20,
                weights=sum(p.nbytes for p in unet.parameters())/2**30, parameters=sum(p.numel() for p in unet.parameters()))


if __name__ == '__main__':
    if len(sys.argv) > 1: print(json.dumps(step(*WAYS[sys.argv[1]]))); sys.exit()
    run = lambda *a: json.loads(subprocess.run([sys.executable, *a], capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    empty = run('-c', 'import resource, torch, diffusers; from diffusers import UNet2DConditionModel; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20)')
    out = dict(machine=f'{platform.machine()}, cpu', torch=torch.__version__, empty=empty, ways={name: run(__file__, name) for name in WAYS})
    (Path(__file__).resolve().parents[1]/'nbs'/'results'/'memory.json').write_text(json.dumps(out, indent=1) + '\n')
    for name, w in out['ways'].items(): print(f'{name:24s} {w["peak"] - empty:5.1f} GiB ({w["weights"]:.1f} weights) {w["seconds"]:6.1f} s')
