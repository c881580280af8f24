"""Stable Diffusion without its weights: models of its published configurations, narrow and random, go the whole way.

What cannot be made narrow, the memory, is measured on the full size with tensors that hold no numbers.
"""
import json, re, shutil, warnings, weakref
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from nulltext_nb.attention import AttentionStore, controlled
from nulltext_nb.editing import edit, invert
from nulltext_nb.images import fit_image, load_image, psnr
from nulltext_nb.inversion import ddim_invert, sample
from nulltext_nb.nulltext import Preset, null_loss
from nulltext_nb.pipeline import EMBEDDED, PARTS, check_ready, decode, embed, encode, fingerprint, image_size, load_pipe
from nulltext_nb.prompt2prompt import PromptToPrompt, prompt_to_prompt
from nulltext_nb.scheduler import abar_at, ddim_pairs, eps_theta
from nulltext_nb.store import Inversion

pytestmark = pytest.mark.xdist_group('sd')  # its fixtures are shared

# ---- What CompVis/stable-diffusion-v1-4 and stabilityai/stable-diffusion-2-1 publish, file by file

UNET = dict(
    _class_name='UNet2DConditionModel', act_fn='silu', block_out_channels=[320, 640, 1280, 1280], downsample_padding=1,
    center_input_sample=False, down_block_types=['CrossAttnDownBlock2D']*3 + ['DownBlock2D'], flip_sin_to_cos=True,
    freq_shift=0, in_channels=4, layers_per_block=2, mid_block_scale_factor=1, norm_eps=1e-5, norm_num_groups=32,
    out_channels=4, up_block_types=['UpBlock2D'] + ['CrossAttnUpBlock2D']*3)
VAE = dict(
    _class_name='AutoencoderKL', act_fn='silu', block_out_channels=[128, 256, 512, 512], in_channels=3,
    latent_channels=4, down_block_types=['DownEncoderBlock2D']*4, layers_per_block=2, out_channels=3,
    up_block_types=['UpDecoderBlock2D']*4)
TEXT = dict(
    architectures=['CLIPTextModel'], attention_dropout=0., bos_token_id=0, dropout=0., eos_token_id=2,
    initializer_factor=1., initializer_range=0.02, layer_norm_eps=1e-5, max_position_embeddings=77,
    model_type='clip_text_model', pad_token_id=1, torch_dtype='float32', vocab_size=49408)
SCHEDULER = dict(
    beta_end=0.012, beta_schedule='scaled_linear', beta_start=0.00085, clip_sample=False, num_train_timesteps=1000,
    set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, trained_betas=None)
INDEX = dict(
    _class_name='StableDiffusionPipeline', feature_extractor=['transformers', 'CLIPImageProcessor'],
    text_encoder=['transformers', 'CLIPTextModel'], tokenizer=['transformers', 'CLIPTokenizer'],
    unet=['diffusers', 'UNet2DConditionModel'], vae=['diffusers', 'AutoencoderKL'])
TOKENIZER = dict(
    add_prefix_space=False, bos_token='<|startoftext|>', do_lower_case=True, eos_token='<|endoftext|>',
    errors='replace', model_max_length=77, tokenizer_class='CLIPTokenizer', unk_token='<|endoftext|>')
SD1 = dict(
    unet=UNET | dict(_diffusers_version='0.2.2', attention_head_dim=8, cross_attention_dim=768, sample_size=64),
    vae=VAE | dict(_diffusers_version='0.2.2', sample_size=512),
    text_encoder=TEXT | dict(hidden_act='quick_gelu', hidden_size=768, intermediate_size=3072, num_attention_heads=12,
                             num_hidden_layers=12, projection_dim=768),
    scheduler=SCHEDULER | dict(_class_name='PNDMScheduler', _diffusers_version='0.7.0.dev0'),
    tokenizer=TOKENIZER | dict(pad_token='<|endoftext|>'),
    model_index=INDEX | dict(_diffusers_version='0.2.2', scheduler=['diffusers', 'PNDMScheduler'],
                             safety_checker=['stable_diffusion', 'StableDiffusionSafetyChecker']))
SD2 = dict(
    unet=UNET | dict(_diffusers_version='0.10.0.dev0', attention_head_dim=[5, 10, 20, 20], cross_attention_dim=1024,
                     sample_size=96, dual_cross_attention=False, num_class_embeds=None, only_cross_attention=False,
                     upcast_attention=True, use_linear_projection=True),
    vae=VAE | dict(_diffusers_version='0.10.0.dev0', norm_num_groups=32, sample_size=768),
    text_encoder=TEXT | dict(hidden_act='gelu', hidden_size=1024, intermediate_size=4096, num_attention_heads=16,
                             num_hidden_layers=23, projection_dim=512),
    scheduler=SCHEDULER | dict(_class_name='DDIMScheduler', _diffusers_version='0.8.0', prediction_type='v_prediction'),
    tokenizer=TOKENIZER | dict(pad_token='!'),
    model_index=INDEX | dict(_diffusers_version='0.8.0', requires_safety_checker=False, safety_checker=[None, None],
                             scheduler=['diffusers', 'DDIMScheduler']))
PUBLISHED = {'sd1': SD1, 'sd2': SD2}
SIDE = {'sd1': 128, 'sd2': 192}   # a quarter of what they were trained on


def narrow(name):
    "The published configurations with fewer channels, fewer words, a quarter of the side; the same blocks and heads."
    parts = {k: dict(v) for k, v in PUBLISHED[name].items()}
    unet, vae, text = parts['unet'], parts['vae'], parts['text_encoder']
    width = text['num_attention_heads']*4
    unet['_diffusers_version'] = '0.10.0.dev0'   # before 0.9, diffusers takes a side of less than 64 for a mistake
    unet.update(block_out_channels=[n//8 for n in unet['block_out_channels']], norm_num_groups=8,
                cross_attention_dim=width, sample_size=SIDE[name]//8)
    vae.update(block_out_channels=[n//16 for n in vae['block_out_channels']], norm_num_groups=8, sample_size=SIDE[name])
    words = len(CLIPTokenizer.from_pretrained(EMBEDDED/'tokenizer'))
    text.update(hidden_size=width, intermediate_size=4*width, projection_dim=width, vocab_size=words)
    return parts


def build(name):
    "A narrow pipeline with random weights, as diffusers makes it today."
    parts = narrow(name)
    torch.manual_seed(0)
    unet, vae = UNet2DConditionModel.from_config(parts['unet']), AutoencoderKL.from_config(parts['vae'])
    text = CLIPTextModel(CLIPTextConfig(**parts['text_encoder']))
    tok = CLIPTokenizer.from_pretrained(EMBEDDED/'tokenizer', pad_token=parts['tokenizer']['pad_token'],
                                        model_max_length=parts['text_encoder']['max_position_embeddings'])
    kind = {'PNDMScheduler': PNDMScheduler, 'DDIMScheduler': DDIMScheduler}[parts['scheduler']['_class_name']]
    return StableDiffusionPipeline(vae=vae, text_encoder=text, tokenizer=tok, unet=unet, safety_checker=None,
                                   scheduler=kind.from_config(parts['scheduler']), feature_extractor=None,
                                   requires_safety_checker=False)


def as_published(saved, folder, name):
    "The weights in `saved`, in files that have the names, keys and settings of the published ones."
    parts = narrow(name)
    def write(file, x):
        (folder/file).parent.mkdir(parents=True, exist_ok=True)
        (folder/file).write_text(json.dumps(x))
    write('model_index.json', parts['model_index'])
    write('scheduler/scheduler_config.json', parts['scheduler'])
    for part in ('unet', 'vae', 'text_encoder'): write(f'{part}/config.json', parts[part])
    write('feature_extractor/preprocessor_config.json', dict(
        crop_size=224, do_center_crop=True, do_convert_rgb=True, do_normalize=True, do_resize=True, resample=3,
        size=224, feature_extractor_type='CLIPFeatureExtractor', image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711]))
    write('tokenizer/tokenizer_config.json', parts['tokenizer'])
    write('tokenizer/special_tokens_map.json', {k: v for k, v in parts['tokenizer'].items() if k.endswith('_token')})
    for file in ('vocab.json', 'merges.txt'): shutil.copy(EMBEDDED/'tokenizer'/file, folder/'tokenizer'/file)
    shutil.copy(saved/'unet'/'diffusion_pytorch_model.safetensors', folder/'unet')
    old = {'to_q': 'query', 'to_k': 'key', 'to_v': 'value', 'to_out.0': 'proj_attn'}   # of the VAE's attention
    vae = load_file(saved/'vae'/'diffusion_pytorch_model.safetensors')
    vae = {re.sub('|'.join(map(re.escape, old)), lambda m: old[m[0]], k): v for k, v in vae.items()}
    save_file(vae, folder/'vae'/'diffusion_pytorch_model.safetensors', {'format': 'pt'})
    text = load_file(saved/'text_encoder'/'model.safetensors')
    text = {'text_model.' + k.removeprefix('text_model.'): v for k, v in text.items()}
    text['text_model.embeddings.position_ids'] = torch.arange(parts['text_encoder']['max_position_embeddings'])[None]
    save_file(text, folder/'text_encoder'/'model.safetensors', {'format': 'pt'})


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    "For each model, a folder that diffusers wrote, and one laid out as published."
    out = {}
    for name in PUBLISHED:
        root = tmp_path_factory.mktemp(name)
        build(name).save_pretrained(root/'saved')
        as_published(root/'saved', root/'published', name)
        out[name] = root
    return out


@pytest.fixture(scope='module', params=PUBLISHED)
def name(request): return request.param


@pytest.fixture(scope='module')
def pipe(folders, name):
    with pytest.warns(UserWarning, match='safety checker'): return load_pipe(folders[name]/'published', device='cpu')


@pytest.fixture(scope='module')
def photo(): return load_image(EMBEDDED.parent/'cat.png').resize((300, 200))


QUICK = Preset(lambda i: 1e-2, lambda i: 1e-5, n_inner=2)
SOURCE, TARGET = 'a cat on grass', 'a dog on grass'


# ---- The layout

@pytest.mark.parametrize('name, sizes', [('sd1', (859_520_964, 83_653_863, 123_060_480)),
                                         ('sd2', (865_910_724, 83_653_863, 340_387_840))])
def test_the_configurations_give_the_published_sizes(name, sizes):
    parts = PUBLISHED[name]
    with torch.device('meta'):
        models = [UNet2DConditionModel.from_config(parts['unet']), AutoencoderKL.from_config(parts['vae']),
                  CLIPTextModel(CLIPTextConfig(**parts['text_encoder']))]
    assert tuple(sum(p.numel() for p in m.parameters()) for m in models) == sizes


def test_loading(folders, name, pipe):
    parts, config = narrow(name), pipe.scheduler.config
    assert isinstance(pipe.scheduler, DDIMScheduler) and pipe.safety_checker is None
    assert config.prediction_type == {'sd1': 'epsilon', 'sd2': 'v_prediction'}[name]
    check_ready(pipe)
    assert not config.clip_sample
    assert torch.equal(pipe.scheduler.alphas_cumprod, PNDMScheduler.from_config(parts['scheduler']).alphas_cumprod)
    assert not any(p.requires_grad for part in PARTS for p in getattr(pipe, part).parameters())
    assert (pipe.vae_scale_factor, image_size(pipe), pipe.vae.config.scaling_factor) == (8, SIDE[name], 0.18215)
    assert embed(pipe, [SOURCE, '']).shape == (2, 77, parts['unet']['cross_attention_dim'])
    for key in 'block_out_channels', 'down_block_types', 'up_block_types', 'attention_head_dim', 'layers_per_block':
        assert pipe.unet.config[key] == parts['unet'][key]


def test_old_files_hold_the_same_model(folders, name, pipe):
    "The names that published files give to weights are today's others: nothing is lost or left random."
    with pytest.warns(UserWarning, match='safety checker'): saved = load_pipe(folders[name]/'saved', device='cpu')
    assert fingerprint(saved) == fingerprint(pipe)
    for part in 'unet', 'vae', 'text_encoder':
        a, b = getattr(saved, part).state_dict(), getattr(pipe, part).state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_loading_is_quiet(folders):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        load_pipe(folders['sd1']/'published', device='cpu')
    assert ['safety checker' in str(w.message) for w in seen] == [True], [str(w.message) for w in seen]


def test_the_safety_checker_can_be_kept(folders, tmp_path):
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    folder = shutil.copytree(folders['sd1']/'published', tmp_path/'sd1')
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=32,
                  patch_size=16)
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=16))
    checker.save_pretrained(folder/'safety_checker')
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        pipe = load_pipe(folder, device='cpu', safety_checker=True)
    assert isinstance(pipe.safety_checker, StableDiffusionSafetyChecker)


@pytest.mark.parametrize('unet', [dict(in_channels=9), dict(time_cond_proj_dim=16), dict(
    addition_embed_type='text_time', addition_time_embed_dim=8, projection_class_embeddings_input_dim=48)])
def test_inpainting_distilled_models_and_xl_are_refused(folders, tmp_path, unet):
    folder = shutil.copytree(folders['sd1']/'saved', tmp_path/'other')
    UNet2DConditionModel.from_config(narrow('sd1')['unet'] | unet).save_pretrained(folder/'unet')
    with pytest.raises(ValueError, match='not a text-to-image pipeline of Stable Diffusion 1.x or 2.x'):
        load_pipe(folder, device='cpu')


# ---- The way from a picture to an edit

def test_sampling_is_what_diffusers_does(pipe):
    "The oracle is the pipeline's own call: guidance, both kinds of prediction, the times and their end."
    z, null = torch.randn(1, 4, 16, 16, generator=torch.manual_seed(1)), embed(pipe, '')
    ours = sample(pipe, z, embed(pipe, SOURCE), null, T=7, w=3.)[-1]
    theirs = pipe(SOURCE, latents=z, num_inference_steps=7, guidance_scale=3., height=128, width=128,
                  output_type='latent').images
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    image = decode(pipe, ours)[0]
    pixels = torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)[None]/127.5 - 1
    assert torch.allclose(encode(pipe, image), pipe.vae.encode(pixels).latent_dist.mean*0.18215, atol=1e-5)
    decoded = pipe.vae.decode(theirs/0.18215).sample.add(1).mul(127.5).clamp(0, 255)
    assert np.abs(np.asarray(image, float) - decoded[0].permute(1, 2, 0).numpy()).max() <= 1


def test_maps_change_nothing_by_being_seen(pipe):
    "Every kind of attention layer gives, map by map, what it gives at once; 16 layers look at words."
    z = torch.randn(2, 4, 16, 24, generator=torch.manual_seed(2))
    cond, store = embed(pipe, [SOURCE, TARGET]), AttentionStore()
    store.wants = lambda layer, hw: True
    with torch.no_grad():
        plain = eps_theta(pipe, z, 500, cond)
        with controlled(pipe, store): assert torch.allclose(eps_theta(pipe, z, 500, cond), plain, atol=1e-5)
        assert torch.equal(eps_theta(pipe, z, 500, cond), plain)
    cross = {l: m for l, m in store.now.items() if l.cross}
    assert len(cross) == 16 and len(store.now) == 32 and all(m.shape[-1] == 77 for m in cross.values())
    assert sorted({m.shape[1] for m in cross.values()}) == [2*3, 4*6, 8*12, 16*24]
    assert all(torch.allclose(m.sum(-1), torch.ones(()), atol=1e-5) for m in store.now.values())


def test_end_to_end(folders, name, pipe, photo, tmp_path):
    T, w, side = 3, 7.5, SIDE[name]
    inv = invert(pipe, photo, SOURCE, T=T, w=w, solver=QUICK, progress=False)
    assert inv.path.shape == (T+1, 1, 4, side//8, side//8)
    assert inv.phis.shape == (T, 1, 77, pipe.unet.config.cross_attention_dim)
    assert inv.scheduler['prediction_type'] == pipe.scheduler.config.prediction_type
    # the fitted path ends nearer to the picture than the one with the plain null text
    z0, cond = encode(pipe, fit_image(photo, side)), embed(pipe, SOURCE)
    assert torch.equal(inv.path[0], ddim_invert(pipe, z0, cond, T)[0])
    plain = sample(pipe, inv.path[0], cond, embed(pipe, ''), T, w)
    assert (inv.path[-1] - z0).norm() < 0.97*(plain[-1] - z0).norm()
    assert torch.allclose(sample(pipe, inv.path[0], cond, inv.phis, T, w), inv.path, atol=1e-3)
    # saved, and edited by the same model out of other files
    inv.save(tmp_path/'a.safetensors')
    again = Inversion.load(tmp_path/'a.safetensors')
    assert torch.equal(again.path, inv.path) and torch.equal(again.phis, inv.phis)
    with pytest.warns(UserWarning, match='safety checker'): other = load_pipe(folders[name]/'saved', device='cpu')
    image, words = edit(other, again, [TARGET, SOURCE], restore=False, progress=False)
    assert isinstance(image, Image.Image) and image.mode == 'RGB' and image.size == (side, side)
    assert psnr(words, decode(pipe, inv.path[-1])[0]) > 40 > psnr(image, words)
    assert psnr(edit(other, again, SOURCE, progress=False), fit_image(photo, side)) > 40  # unchanged: the photograph


def test_the_kind_of_prediction_matters(folders, pipe, photo):
    "An inversion made with one kind is refused by the other, and would have been wrong."
    other = {'epsilon': 'v_prediction', 'v_prediction': 'epsilon'}[pipe.scheduler.config.prediction_type]
    schedule = DDIMScheduler.from_config(pipe.scheduler.config, prediction_type=other)
    changed = StableDiffusionPipeline(**pipe.components | dict(scheduler=schedule), requires_safety_checker=False)
    inv = invert(pipe, photo, SOURCE, T=1, solver=QUICK, progress=False)
    with pytest.raises(ValueError, match=f'made with prediction_type = {pipe.scheduler.config.prediction_type}'):
        edit(changed, inv, TARGET, progress=False)
    z, cond = inv.path[0], embed(pipe, SOURCE)
    assert (eps_theta(changed, z, 500, cond) - eps_theta(pipe, z, 500, cond)).abs().max() > 0.1


# ---- Pictures that are not square

def left_half(maps, ratio):
    "Maps like `maps`, (b,hw,n), as if every word looked at the left half; positions go row by row."
    w = round((maps.shape[1]*ratio)**0.5)
    return (torch.arange(maps.shape[1]) % w < w//2).float()[None, :, None].expand_as(maps)


def test_not_square(name, pipe, photo):
    size = {'sd1': (192, 128), 'sd2': (128, 192)}[name]
    inv = invert(pipe, photo, SOURCE, T=2, solver=QUICK, size=size, progress=False)
    h, w = size[1]//8, size[0]//8
    assert inv.size == (h, w)
    half = np.zeros((size[1], size[0]), np.uint8)
    half[:, size[0]//2:] = 255
    large = Image.fromarray(half).resize((size[0]*2, size[1]*2))
    assert edit(pipe, inv, TARGET, large, progress=False).size == size
    z, ctl = prompt_to_prompt(pipe, inv, [TARGET, 'a red cat on grass'], mask=half)
    assert ctl.last_mask.shape == (2, h, w) and ctl.last_mask[0, 0].tolist() == [0.]*(w//2) + [1.]*(w//2)
    assert torch.equal(z[..., :w//2], inv.path[-1][..., :w//2].expand(2, -1, -1, -1))
    assert not torch.allclose(z[0, ..., w//2:], inv.path[-1][0, ..., w//2:], atol=1e-3)
    z, ctl = prompt_to_prompt(pipe, inv, [TARGET], blend=('cat', 'dog'), threshold=1.)
    inside = ctl.last_mask[0].bool()
    assert ctl.last_mask.shape == (1, h, w) and inside.any() and not inside.all()
    assert torch.equal(z[0][:, ~inside], inv.path[-1][0][:, ~inside])
    ctl.sums = {l: left_half(m, w/h) for l, m in ctl.sums.items()}
    assert ctl.local_mask()[0, :, :w//2].all() and not ctl.local_mask()[0, :, w//2+4:].any()
    assert edit(pipe, inv, TARGET, blend=('cat', 'dog'), progress=False).size == size
    with pytest.raises(ValueError, match='crop the mask as the picture was'):
        edit(pipe, inv, TARGET, half.T, progress=False)


@pytest.mark.parametrize('size', [120, (192, 120), (72, 128), (100, 100)])
def test_sizes_that_do_not_fit_name_the_remedy(pipe, photo, size):
    with pytest.raises(ValueError, match='both sides must be multiples of 64 .* `fit_image`'):
        invert(pipe, photo, SOURCE, T=1, size=size, progress=False)


# ---- The gradient

@contextmanager
def checkpointing(unet):
    unet.enable_gradient_checkpointing()
    try: yield
    finally: unet.disable_gradient_checkpointing()


def test_checkpointing_keeps_the_gradient(pipe):
    (t, s), gen = ddim_pairs(pipe.scheduler, 10)[4], torch.manual_seed(3)
    z, target, eps_c = (torch.randn(1, 4, 16, 24, generator=gen) for _ in range(3))
    runs = []
    handle = pipe.unet.up_blocks[1].resnets[0].register_forward_pre_hook(lambda *_: runs.append(1))
    def gradient():
        runs.clear()
        phi = embed(pipe, '').requires_grad_()
        abar = [abar_at(pipe.scheduler, n) for n in (t, s)]
        loss = null_loss(eps_theta(pipe, z, t, phi), eps_c, z, target, *abar, 7.5)
        return torch.autograd.grad(loss.sum(), phi)[0], len(runs)
    plain, once = gradient()
    with checkpointing(pipe.unet): saved, twice = gradient()
    handle.remove()
    assert not pipe.unet.training and (once, twice) == (1, 2)
    assert plain.isfinite().all() and plain.abs().max() > 0
    assert torch.allclose(saved, plain, rtol=1e-5, atol=1e-6*plain.abs().max())


def test_load_pipe_turns_checkpointing_on(folders):
    with pytest.warns(UserWarning, match='safety checker'):
        pipe = load_pipe(folders['sd1']/'published', device='cpu', checkpointing=True)
    assert pipe.unet.is_gradient_checkpointing and not pipe.unet.training


# ---- Half precision, on the embedded model

def run(dtype, T, autocast=False):
    "Reconstruction and edit of the cat with weights of type `dtype`."
    pipe = load_pipe(device='cpu', dtype=dtype)
    image = fit_image(load_image(EMBEDDED.parent/'cat.png'), image_size(pipe))
    with torch.autocast('cpu', torch.bfloat16) if autocast else nullcontext():
        solver = Preset(lambda i: 0.1, lambda i: 1e-5, n_inner=max(2, T//2))
        inv = invert(pipe, image, SOURCE, T=T, w=3., solver=solver, progress=False)
        edited = edit(pipe, inv, TARGET, blend=('cat', 'dog'), progress=False)
        back = decode(pipe, inv.path[-1])[0]
    assert inv.path.dtype == inv.phis.dtype == torch.float32 and inv.path.isfinite().all() and inv.phis.isfinite().all()
    return SimpleNamespace(psnr=psnr(image, back), edited=edited, model=inv.model)


@pytest.fixture(scope='module')
def full(): return {T: run(torch.float32, T) for T in (2, 8)}


@pytest.mark.parametrize('dtype, T, autocast', [
    (torch.bfloat16, 8, False), (torch.float32, 8, True), (torch.float16, 2, False)], ids=['bf16', 'autocast', 'fp16'])
def test_half_precision(full, dtype, T, autocast):
    "fp16 is slow on a CPU: two steps of it."
    ref, half = full[T], run(dtype, T, autocast)
    print(f'{ref.psnr:.2f} {half.psnr:.2f} dB, edits {psnr(half.edited, ref.edited):.2f} dB apart')
    assert abs(half.psnr - ref.psnr) < 0.5
    assert psnr(half.edited, ref.edited) > 25
    assert half.model == ref.model


def test_autocast_sees_every_update():
    "Autocast keeps the cast of a leaf that needs a gradient; an embedding in the making must not be taken from there."
    pipe = load_pipe(device='cpu')
    z, phi, outs = torch.randn(1, pipe.unet.config.in_channels, 8, 8), embed(pipe, '').requires_grad_(), []
    with torch.autocast('cpu', torch.bfloat16):
        for _ in range(2):
            outs.append(eps_theta(pipe, z, 500, phi))
            with torch.no_grad(): phi.add_(1)
    assert not torch.equal(*outs)


# ---- Memory of the full size, counted on tensors that hold no numbers

class Live(TorchDispatchMode):
    "Counts the bytes of tensors from the operation that makes them to their end; `known` are not counted."
    def __init__(self, known):
        super().__init__()
        self.now, self.peak, self.known = 0, 0, {id(s): s for s in (p.untyped_storage() for p in known)}
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        for s in [x.untyped_storage() for x in tree_leaves(out) if isinstance(x, torch.Tensor)]:
            if id(s) in self.known: continue
            self.known[id(s)] = s.nbytes()
            self.now += s.nbytes()
            weakref.finalize(s, self.free, id(s))
        self.peak = max(self.peak, self.now)
        return out
    def free(self, i): self.now -= self.known.pop(i)


GIB = 2**30


@contextmanager
def unreal(dtype):
    "Inside, tensors have shapes and no numbers; yields a function from a published configuration to a frozen model."
    def model(cls, config):
        torch.set_default_dtype(dtype)
        try: out = cls.from_config(config) if hasattr(cls, 'from_config') else cls(CLIPTextConfig(**config))
        finally: torch.set_default_dtype(torch.float32)
        return out.eval().requires_grad_(False)
    with FakeTensorMode(allow_non_fake_inputs=True): yield model


def weights(model): return sum(p.nbytes for p in model.parameters())/GIB


def gradient_memory(config, dtype, checkpointing=False, latent=64, tokens=77):
    "GiB of the UNet's weights, and what a gradient for the null embedding adds: kept for the backward, at its peak."
    with unreal(dtype) as model:
        unet = model(UNet2DConditionModel, config)
        if checkpointing: unet.enable_gradient_checkpointing()
        schedule = {k: v for k, v in SCHEDULER.items() if k != 'skip_prk_steps'}
        pipe = SimpleNamespace(unet=unet, scheduler=DDIMScheduler(**schedule))
        z, eps_c, target = (torch.randn(1, 4, latent, latent) for _ in range(3))
        phi = torch.randn(1, tokens, config['cross_attention_dim']).requires_grad_()
        with Live(unet.parameters()) as live:
            loss = null_loss(eps_theta(pipe, z, 501, phi), eps_c, z, target, 0.5, 0.6, 7.5)
            kept = live.now
            torch.autograd.grad(loss.sum(), phi)
    return weights(unet), kept/GIB, live.peak/GIB


def other_memory(name, dtype, latent=64, edits=1):
    "GiB that VAE and text encoder take, and the peaks that encoding, decoding and a step of `edits` edits add."
    parts, peaks = PUBLISHED[name], {}
    tok = CLIPTokenizer.from_pretrained(EMBEDDED/'tokenizer', model_max_length=77)
    ctl = PromptToPrompt(tok, SOURCE, [TARGET]*edits, 50, (latent, latent), blend=('cat', 'dog'))
    with unreal(dtype) as model:
        unet = model(UNet2DConditionModel, parts['unet'])
        vae = model(AutoencoderKL, parts['vae'])
        text = model(CLIPTextModel, parts['text_encoder'])
        z, x = torch.randn(1, 4, latent, latent, dtype=dtype), torch.randn(1, 3, 8*latent, 8*latent, dtype=dtype)
        with torch.no_grad(), Live(vae.parameters()) as live: vae.encode(x).latent_dist.mean
        peaks['encode'] = live.peak/GIB
        with torch.no_grad(), Live(vae.parameters()) as live: vae.decode(z).sample
        peaks['decode'] = live.peak/GIB
        with torch.no_grad(), Live(unet.parameters()) as live, controlled(SimpleNamespace(unet=unet), ctl):
            words = torch.randn(1 + 2*edits, 77, parts['unet']['cross_attention_dim'], dtype=dtype)
            unet(torch.cat([z]*len(words)), 501, words)
        peaks['edit'] = live.peak/GIB
    assert len(ctl.sums) == 16   # every layer that looks at words
    return weights(vae) + weights(text), peaks


@pytest.mark.parametrize('name, latent, dtypes', [
    ('sd1', 64, [torch.float32, torch.float16]), ('sd2', 96, [torch.float16])], ids=['sd1', 'sd2'])
def test_memory(name, latent, dtypes):
    "At full size: half precision fits a T4 (15 GiB) twice, and checkpointing saves most of what the gradient keeps."
    T4, unet, need = 15, PUBLISHED[name]['unet'], {}
    for dtype in dtypes:
        others, peaks = other_memory(name, dtype, latent)
        for checkpointing in False, True:
            own, kept, peak = gradient_memory(unet, dtype, checkpointing, latent)
            need[dtype, checkpointing] = own + others + max(peak, *peaks.values())
            told = dict(UNet=own, others=others, kept=kept, gradient=peak, **peaks, all=need[dtype, checkpointing])
            print(name, dtype, f'{checkpointing=}', *[f'{k} {v:.2f}' for k, v in told.items()], 'GiB')
            if not checkpointing: plain = kept, peak
            else: assert kept < plain[0]/3 and peak < plain[1]/2
            assert need[dtype, checkpointing] < (T4/2 if dtype == torch.float16 else T4)
