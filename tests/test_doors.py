"Pipelines that people bring: other schedulers, LoRA, offloading, single files; what cannot be inverted is refused."
import re

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import (ControlNetModel, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler,
                       PNDMScheduler, StableDiffusionControlNetPipeline, StableDiffusionPipeline, UNet2DConditionModel,
                       UniPCMultistepScheduler)
from diffusers.models.attention_processor import AttnProcessor, IPAdapterAttnProcessor2_0
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from nulltext_nb import pipeline
from nulltext_nb.attention import AttentionStore, controlled
from nulltext_nb.editing import edit, invert
from nulltext_nb.inversion import sample
from nulltext_nb.pipeline import (EMBEDDED, PARTS, check_ready, embed, encode, fingerprint, load_pipe,
                                  random_pipe, ready)
from nulltext_nb.scheduler import eps_theta

pytestmark = [pytest.mark.xdist_group('doors'), pytest.mark.filterwarnings('ignore:the safety checker')]

SOURCE, TARGET = 'a cat on grass', 'a dog on grass'


@pytest.fixture
def pipe(): return random_pipe()


@pytest.fixture
def image(): return Image.effect_noise((64, 64), 80).convert('RGB')


@pytest.fixture
def folder(pipe, tmp_path):
    pipe.save_pretrained(tmp_path/'model')
    return tmp_path/'model'


# ---- ready

@pytest.mark.parametrize('kind', [PNDMScheduler, EulerDiscreteScheduler, UniPCMultistepScheduler,
                                  DPMSolverMultistepScheduler])
@pytest.mark.parametrize('prediction', ['epsilon', 'v_prediction'])
def test_any_scheduler_is_made_ready(kind, prediction):
    "The noise schedule and the kind of prediction stay; sampling is the DDIM that it would have been."
    pipe, z = random_pipe(prediction), torch.randn(1, 4, 8, 8)
    path = sample(pipe, z, embed(pipe, SOURCE), embed(pipe, ''), T=3, w=3.)
    abar = pipe.scheduler.alphas_cumprod
    pipe.scheduler = kind.from_config(pipe.scheduler.config, steps_offset=0)
    with pytest.raises(ValueError, match=rf'{kind.__name__}, but .* ready\(pipe\)'): check_ready(pipe)
    assert ready(pipe) is pipe and isinstance(pipe.scheduler, DDIMScheduler)
    assert torch.equal(pipe.scheduler.alphas_cumprod, abar) and pipe.scheduler.config.prediction_type == prediction
    assert torch.equal(sample(pipe, z, embed(pipe, SOURCE), embed(pipe, ''), T=3, w=3.), path)


@pytest.mark.parametrize('name, value', [('steps_offset', 0), ('set_alpha_to_one', True),
                                         ('timestep_spacing', 'trailing')])
def test_settings_of_ddim_are_made_ready(pipe, name, value):
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, **{name: value})
    with pytest.raises(ValueError, match=rf'the scheduler has {name} = {value}, .* ready\(pipe\)'): check_ready(pipe)
    check_ready(ready(pipe))


def test_a_schedule_that_ends_in_pure_noise(image):
    "Its noise shares are kept: the model was trained with them."
    pipe = random_pipe('v_prediction')
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, rescale_betas_zero_snr=True,
                                               timestep_spacing='trailing')
    abar = pipe.scheduler.alphas_cumprod
    assert torch.equal(ready(pipe).scheduler.alphas_cumprod, abar) and abar[-1] == 0
    assert invert(pipe, image, SOURCE, T=50, progress=False).path.isfinite().all()


@pytest.mark.parametrize('kind', [PNDMScheduler, EulerDiscreteScheduler])
def test_a_pipe_that_is_not_ready_is_refused_by_name(pipe, image, kind):
    inv = invert(pipe, image, SOURCE, T=1, progress=False)
    pipe.scheduler = kind.from_config(pipe.scheduler.config)
    with pytest.raises(ValueError, match=rf'{kind.__name__}, .* ready\(pipe\)'): invert(pipe, image, SOURCE, T=1)
    with pytest.raises(ValueError, match=rf'{kind.__name__}, .* ready\(pipe\)'): edit(pipe, inv, TARGET)
    assert edit(ready(pipe), inv, TARGET, progress=False).size == (64, 64)


def test_weights_are_frozen(pipe):
    for part in PARTS: getattr(pipe, part).train().requires_grad_(True)
    with pytest.raises(ValueError, match='unet, vae, text_encoder is in training mode'): check_ready(pipe)
    ready(pipe)
    assert not any(p.requires_grad for part in PARTS for p in getattr(pipe, part).parameters())


def test_a_picture_adapter_is_refused(pipe):
    layers = pipe.unet.attn_processors
    pipe.scheduler = mine = PNDMScheduler.from_config(pipe.scheduler.config)
    pipe.unet.set_attn_processor({n: IPAdapterAttnProcessor2_0(16, 48) if 'attn2' in n else AttnProcessor()
                                  for n in layers})
    for door in check_ready, ready:
        with pytest.raises(ValueError, match=r'would drop \(IPAdapterAttnProcessor2_0\): .*unload_ip_adapter\(\)'):
            door(pipe)
    assert pipe.scheduler is mine   # what is refused stays as it was


def test_a_controlnet_is_refused(pipe):
    net = ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(8, 8))
    other = StableDiffusionControlNetPipeline(**pipe.components, controlnet=net, requires_safety_checker=False)
    with pytest.raises(ValueError, match=r'parts that an inversion would leave out \(controlnet\)'): ready(other)


def test_something_else_is_refused():
    with pytest.raises(ValueError, match='this Linear is not a text-to-image pipeline'): ready(torch.nn.Linear(1, 1))


# ---- LoRA

def add_lora(part, scale=1.):
    "A LoRA with random weights on the attention of `part`."
    torch.manual_seed(3)
    def config(*names): return LoraConfig(r=4, lora_alpha=4*scale, target_modules=names, init_lora_weights=False)
    if isinstance(part, UNet2DConditionModel): return part.add_adapter(config('to_q', 'to_k', 'to_v'))
    inject_adapter_in_model(config('q_proj', 'v_proj'), part)   # transformers may ask for a newer peft than there is


def act(part, on):
    "Let the LoRAs of `part` act, or not."
    for layer in part.modules():
        if isinstance(layer, BaseTunerLayer): layer.enable_adapters(on)


@pytest.mark.parametrize('name', ['unet', 'text_encoder'])
def test_a_lora_changes_the_fingerprint(pipe, name):
    bare, part = fingerprint(pipe), getattr(pipe, name)
    add_lora(part)
    full = fingerprint(pipe)
    assert full != bare
    act(part, False)
    assert fingerprint(pipe) == bare
    act(part, True)
    assert fingerprint(pipe) == full
    for dtype in torch.bfloat16, torch.float16, torch.float32: assert fingerprint(pipe.to(dtype)) == full
    other = random_pipe()
    add_lora(getattr(other, name), 0.5)
    assert fingerprint(other) not in (bare, full)


def test_a_fused_lora_counts(pipe):
    bare = fingerprint(pipe)
    add_lora(pipe.unet)
    pipe.unet.fuse_lora()
    assert fingerprint(pipe) != bare
    pipe.unet.unfuse_lora()
    pipe.unet.disable_adapters()
    assert fingerprint(pipe) == bare


def test_a_lora_is_respected(pipe, image):
    "It acts in the same way whether maps are seen or not, and an edit asks for the model that inverted."
    z, cond = torch.randn(1, 4, 8, 8), embed(pipe, SOURCE)
    with torch.no_grad():
        bare = eps_theta(pipe, z, 500, cond)
        add_lora(pipe.unet)
        plain, store = eps_theta(ready(pipe), z, 500, cond), AttentionStore()
        store.wants = lambda layer, hw: True
        with controlled(pipe, store): seen = eps_theta(pipe, z, 500, cond)
    assert (plain - bare).abs().max() > 1e-3 and torch.allclose(seen, plain, atol=1e-5)
    inv = invert(pipe, image, SOURCE, T=2, progress=False)
    assert edit(pipe, inv, TARGET, progress=False).size == (64, 64)
    pipe.unet.disable_adapters()
    with pytest.raises(ValueError, match='made with model'): edit(pipe, inv, TARGET, progress=False)


def test_training_changes_the_fingerprint(pipe):
    before = fingerprint(pipe)
    for part in PARTS:
        model = getattr(pipe, part)
        kept = {n: x.clone() for n, x in model.state_dict().items()}
        for x in model.parameters(): x.add_(0.01*x.abs().mean()*torch.randn_like(x))
        assert fingerprint(pipe) != before
        model.load_state_dict(kept)
    assert fingerprint(pipe) == before


# ---- Offloading

@pytest.mark.parametrize('solver', ['residual', 'least_squares'])
def test_weights_that_come_and_go(pipe, image, solver):
    "As under `enable_sequential_cpu_offload`: weights are there while their layer runs; the gradient does not mind."
    inv = invert(pipe, image, SOURCE, T=2, solver=solver, progress=False)
    plain = edit(pipe, inv, TARGET, blend=('cat', 'dog'), progress=False)
    for part in PARTS: cpu_offload(getattr(pipe, part), 'cpu', offload_buffers=True)
    assert next(pipe.unet.parameters()).device.type == 'meta'
    again = invert(pipe, image, SOURCE, T=2, solver=solver, progress=False)
    assert torch.allclose(again.path, inv.path, atol=1e-5) and torch.allclose(again.phis, inv.phis, atol=1e-4)
    assert edit(pipe, inv, TARGET, blend=('cat', 'dog'), progress=False).tobytes() == plain.tobytes()


def test_tensors_go_where_the_model_runs(pipe, image, monkeypatch):
    "As under `enable_model_cpu_offload`, with 'meta' in the role of the GPU: weights wait on the CPU, inputs must not."
    for part in PARTS: cpu_offload_with_hook(getattr(pipe, part), 'meta')
    monkeypatch.setattr(pipeline, 'check_finite', lambda x, what: x)
    assert pipe.device.type == 'cpu'
    z, cond = encode(pipe, image), embed(pipe, SOURCE)
    assert z.device.type == cond.device.type == eps_theta(pipe, z, 500, cond).device.type == 'meta'


# ---- load_pipe

def test_words_of_diffusers_are_passed_on(pipe, folder, tmp_path, monkeypatch):
    seen = {}
    def download(name, **kw):
        seen.update(kw, name=name)
        return str(folder)
    monkeypatch.setattr(StableDiffusionPipeline, 'download', download)
    words = dict(revision='main', token='t', cache_dir=str(tmp_path), local_files_only=True)
    other = load_pipe('somebody/model', device='cpu', torch_dtype=torch.bfloat16, **words)
    assert seen == dict(words, name='somebody/model', safety_checker=None, requires_safety_checker=False)
    assert other.unet.dtype == other.text_encoder.dtype == torch.bfloat16
    assert fingerprint(other) == fingerprint(pipe)


def test_a_variant(pipe, tmp_path):
    pipe.save_pretrained(tmp_path, variant='fp16')
    assert fingerprint(load_pipe(tmp_path, device='cpu', variant='fp16')) == fingerprint(pipe)
    with pytest.raises(OSError, match=f'cannot load {tmp_path}'): load_pipe(tmp_path, device='cpu')


@pytest.mark.parametrize('cuda, mps, device, dtype', [
    (True, True, 'cuda', torch.float16), (False, True, 'mps', torch.float32), (False, False, 'cpu', torch.float32)])
def test_the_best_device_is_chosen(monkeypatch, cuda, mps, device, dtype):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: mps)
    chosen = pipeline.pick_device(None)
    assert chosen.type == device and pipeline._pick_dtype(None, chosen) == dtype
    if not mps:
        with pytest.raises(ValueError, match=f"no mps device here: use device='{device}'"):
            pipeline.pick_device('mps')


def test_a_device_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert pipeline.pick_device('cuda:1').index == 1
    for name in 'cuda:2', 'cpu:1', 'meta':
        with pytest.raises(ValueError, match=f'no {name} device here'): pipeline.pick_device(name)


@pytest.mark.parametrize('part', PARTS)
def test_missing_weights_are_never_silent(folder, part):
    file = next((folder/part).glob('*.safetensors'))
    state = load_file(file)
    gone = sorted(state)[-1]
    save_file({k: x for k, x in state.items() if k != gone}, file, {'format': 'pt'})
    with pytest.raises(OSError, match=f'its {part} lack 1 weights, for example .*{gone}'):
        load_pipe(folder, device='cpu')


def test_the_shipped_model_is_what_is_loaded(monkeypatch):
    "Whatever a library does to the text encoder, it is noticed."
    real = CLIPTextModel.from_pretrained
    def random(*args, **kw):
        model, info = real(*args, **kw)
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.02)
        return model, info
    load_pipe(device='cpu')
    monkeypatch.setattr(CLIPTextModel, 'from_pretrained', random)
    with pytest.raises(OSError, match='embedded model was not loaded as it is in its files'):
        load_pipe(device='cpu')


def test_names_of_weights_that_transformers_4_reads():
    "Both lines read names with this prefix; without it, transformers 4 would find none of them."
    assert all(k.startswith('text_model.') for k in load_file(EMBEDDED/'text_encoder'/'model.safetensors'))


# ---- A single file, as the original code of Stable Diffusion wrote it

RESNET = dict(norm1='in_layers.0', conv1='in_layers.2', norm2='out_layers.0', conv2='out_layers.3',
              time_emb_proj='emb_layers.1', conv_shortcut='skip_connection')
KIND = dict(resnets=0, attentions=1)
UNET = {r'time_embedding.linear_1': 'time_embed.0', r'time_embedding.linear_2': 'time_embed.2',
        r'^conv_in': 'input_blocks.0.0', r'^conv_norm_out': 'out.0', r'^conv_out': 'out.2',
        r'mid_block.attentions.0': 'middle_block.1', r'mid_block.resnets.0': 'middle_block.0',
        r'mid_block.resnets.1': 'middle_block.2', r'up_blocks.0.upsamplers.0': 'output_blocks.2.1',
        r'down_blocks.(\d).(resnets|attentions).(\d)':
            lambda m: f'input_blocks.{3*int(m[1]) + int(m[3]) + 1}.{KIND[m[2]]}',
        r'down_blocks.(\d).downsamplers.0.conv': lambda m: f'input_blocks.{3*int(m[1]) + 3}.0.op',
        r'up_blocks.(\d).(resnets|attentions).(\d)':
            lambda m: f'output_blocks.{3*int(m[1]) + int(m[3])}.{KIND[m[2]]}',
        r'up_blocks.(\d).upsamplers.0': lambda m: f'output_blocks.{3*int(m[1]) + 2}.2',
        r'(?<!transformer_blocks\.0\.)(?<=\.)(' + '|'.join(RESNET) + r')(?=\.)': lambda m: RESNET[m[1]]}
VAE = {r'down_blocks.(\d).resnets': r'down.\1.block', r'down_blocks.(\d).downsamplers.0': r'down.\1.downsample',
       r'up_blocks.(\d).resnets': lambda m: f'up.{3 - int(m[1])}.block',
       r'up_blocks.(\d).upsamplers.0': lambda m: f'up.{3 - int(m[1])}.upsample',
       r'mid_block.resnets.0': 'mid.block_1', r'mid_block.resnets.1': 'mid.block_2',
       'mid_block.attentions.0': 'mid.attn_1', 'conv_norm_out': 'norm_out', 'conv_shortcut': 'nin_shortcut',
       'group_norm': 'norm', r'to_([qkv])\.': r'\1.', r'to_out.0': 'proj_out'}


def renamed(state, rules, prefix):
    "The numbers of `state` under the names that `rules`, from pattern to replacement, make."
    out = {}
    for name, x in state.items():
        for old, new in rules.items(): name = re.sub(old, new, name)
        out[prefix + name] = x.contiguous()
    return out


def as_single_file(pipe, file):
    "The weights of `pipe`, laid out like those of the published single files."
    unet = renamed(pipe.unet.state_dict(), UNET, 'model.diffusion_model.')
    vae = renamed(pipe.vae.state_dict(), VAE, 'first_stage_model.')
    vae = {k: x[..., None, None] if x.ndim == 2 else x for k, x in vae.items()}   # attention of 1×1 convolutions
    text = renamed(pipe.text_encoder.state_dict(), {'^(text_model.)?': 'text_model.'}, 'cond_stage_model.transformer.')
    save_file(unet | vae | text, file)


def test_a_single_file(tmp_path):
    from test_stable_diffusion import build
    pipe = build('sd1')
    pipe.save_pretrained(tmp_path/'model')
    as_single_file(pipe, tmp_path/'model.safetensors')
    single = load_pipe(tmp_path/'model.safetensors', device='cpu', config=str(tmp_path/'model'))
    assert fingerprint(single) == fingerprint(pipe)
    with pytest.raises(OSError, match='cannot load .*none.safetensors'):
        load_pipe(tmp_path/'none.safetensors', device='cpu', config=str(tmp_path/'model'))
