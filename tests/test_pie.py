"PIE-Bench: masks, captions and measures against values worked out by hand; random networks stand in for real ones."
import json, math
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from nulltext_nb.cli import nulltext_bench
from nulltext_nb.editing import invert
from nulltext_nb.lab import pie_metrics, pie_run
from nulltext_nb.lab.pie_files import (PIE_SIDE, TYPES, decode_mask, encode_mask, mk_pie_fixture, read_pie,
                                       split_brackets)
from nulltext_nb.lab.pie_metrics import MODES, PIE_COLUMNS, Look, edited_part, measure_pie, mk_tools, unedited
from nulltext_nb.lab.queue import read_results
from nulltext_nb.lab.pie_run import blend_words, edit_settings, run_pie, summarise
from nulltext_nb.pipeline import load_pipe

FREE = ('psnr', 'mse', 'ssim')  # columns without a network


@pytest.fixture(scope='session')
def pipe(): return load_pipe(device='cpu')


@pytest.fixture(scope='session')
def data(tmp_path_factory): return mk_pie_fixture(tmp_path_factory.mktemp('pie'), 3)


@pytest.fixture
def pair(data): return read_pie(data)[0]


def grey(value): return Image.fromarray(np.full((PIE_SIDE, PIE_SIDE, 3), value, np.uint8))


# ---- The layout

@pytest.mark.parametrize('runs, border, rows', [
    ([5, 2], False, ['0000', '0110', '0000', '0000']), ([5, 2], True, ['1111', '1111', '1001', '1111']),
    ([], False, ['0000']*4), ([], True, ['1111', '1001', '1001', '1111']),
    ([3, 2, 14, 9], False, ['0001', '1000', '0000', '0011']),  # over the row's end; past the last pixel, and cut
    ([0, 16], False, ['1111']*4), ([6, 0], False, ['0000']*4),
    ([1, 3, 2, 1], False, ['0111', '0000', '0000', '0000'])])
def test_masks(runs, border, rows):
    mask = decode_mask(runs, border, side=4)
    assert [''.join('01'[int(v)] for v in r) for r in mask] == rows
    assert (decode_mask(encode_mask(mask), False, side=4) == mask).all()


@pytest.mark.parametrize('runs', [[5], [5, -1], [-5, 1], [5, 2.5], [5, '2'], [True, 1], '5 2', None, [16, 1]])
def test_broken_masks_are_refused(runs):
    with pytest.raises(ValueError, match='mask'): decode_mask(runs, side=4)


@pytest.mark.parametrize('prompt, text, words', [
    ('a slanted [rusty] mountain bicycle', 'a slanted rusty mountain bicycle', ['rusty']), ('a cat', 'a cat', []),
    ('[a cat] and [a red dog]', 'a cat and a red dog', ['a cat', 'a red dog']), ('a [ ] cat', 'a   cat', [])])
def test_brackets(prompt, text, words): assert split_brackets(prompt) == (text, words)


def test_the_fixture_has_the_published_layout(data):
    items = json.loads((data/'mapping_file.json').read_text())
    fields = {'image_path', 'original_prompt', 'editing_prompt', 'editing_instruction', 'editing_type_id',
              'blended_word', 'mask'}
    assert all(set(i) == fields for i in items.values())
    assert all('[' in i['original_prompt'] and '[' in i['editing_prompt'] for i in items.values())
    for p in read_pie(data):
        assert p.type in TYPES and Image.open(p.file).size == (PIE_SIDE, PIE_SIDE) and '[' not in p.source + p.target
        assert 0.02 < p.mask(border=False).mean() < 0.98
    assert [p.type for p in read_pie(data)] == ['1', '6', '8'] and len(read_pie(data, 2)) == 2
    def digests(folder, seed): return [p.digest for p in read_pie(mk_pie_fixture(data.parent/folder, 3, seed))]
    assert digests('a', 0) == digests('b', 0) != digests('c', 1)


def spoil(data, tmp_path, **change):
    "A copy of the mapping file with its first entry changed, beside the same pictures."
    items = json.loads((data/'mapping_file.json').read_text())
    key = next(iter(items))
    items[key] = {k: v for k, v in (items[key] | change).items() if v is not None}
    (tmp_path/'mapping_file.json').write_text(json.dumps(items))
    (tmp_path/'annotation_images').symlink_to((data/'annotation_images').resolve())
    return tmp_path


@pytest.mark.parametrize('change, said', [
    (dict(image_path='none.jpg'), 'none.jpg does not exist'), (dict(mask=[1, 2, 3]), 'pairs'),
    (dict(mask=[PIE_SIDE*PIE_SIDE, 1]), 'starts past'), (dict(original_prompt='a [cat'), 'bracket is open'),
    (dict(editing_prompt=None), 'not complete'), (dict(blended_word=3), 'where text should be'),
    (dict(mask=None), 'not complete'), (dict(image_path='../../secret.png'), 'leads out of'),
    (dict(image_path='/etc/passwd'), 'leads out of'), (dict(image_path='a\0b'), 'a'), (dict(image_path=''), 'exist'),
    (dict(image_path='x'*5000), 'xxx')])
def test_bad_entries_are_refused(data, tmp_path, change, said):
    spoilt = spoil(data, tmp_path, **change)
    with pytest.raises(ValueError, match=f"entry '000000000000'.*{said}"): read_pie(spoilt)


@pytest.mark.parametrize('key', ['../../out', '/out', '..', '.', '', 'a/b', 'a\\b', 'a\0', 'a\nb', 'x'*101, '\udcff'])
def test_keys_that_are_no_names_are_refused(data, tmp_path, key):
    "Files are named after keys; a mapping file may come from anywhere."
    item = next(iter(json.loads((data/'mapping_file.json').read_text()).values()))
    (tmp_path/'mapping_file.json').write_text(json.dumps({key: item}))
    (tmp_path/'annotation_images').symlink_to((data/'annotation_images').resolve())
    with pytest.raises(ValueError, match='its key is no plain name') as e: read_pie(tmp_path)
    assert str(e.value).isprintable()


def test_a_link_out_of_the_pictures_is_refused(data, tmp_path):
    item = next(iter(json.loads((data/'mapping_file.json').read_text()).values()))
    (tmp_path/'secret.png').write_bytes(b'x')
    (tmp_path/'annotation_images').mkdir()
    (tmp_path/'annotation_images'/'a.png').symlink_to(tmp_path/'secret.png')
    (tmp_path/'mapping_file.json').write_text(json.dumps({'0': item | dict(image_path='a.png')}))
    with pytest.raises(ValueError, match='leads out of'): read_pie(tmp_path)


@pytest.mark.parametrize('text, said', [
    (None, 'mapping_file.json does not exist'), ('{"a"', 'not a mapping'), ('[1]', 'not a mapping'),
    ('{}', 'is empty'), ('{"a":'*10**5, 'not a mapping')])
def test_bad_mapping_files_are_refused(tmp_path, text, said):
    if text is not None: (tmp_path/'mapping_file.json').write_text(text)
    with pytest.raises(ValueError, match=said): read_pie(tmp_path)


# ---- The columns without networks

def test_values_by_hand(pair):
    "Grey 100 against grey 151 is 0.2 of the range: MSE 0.04, 13.979 dB. The upper half and the frame are masked."
    p = replace(pair, runs=[0, PIE_SIDE*PIE_SIDE//2])
    free = (PIE_SIDE//2 - 1)*(PIE_SIDE - 2)  # unedited pixels: 255 rows of 510
    u = free/PIE_SIDE**2
    corrected, compat = [measure_pie(mk_tools(m, FREE)[0], grey(100), grey(151), p) for m in ('corrected', 'compat')]
    assert corrected['mse'] == pytest.approx(0.04, rel=1e-5)
    assert corrected['psnr'] == pytest.approx(-10*math.log10(0.04), abs=1e-4)
    assert compat['mse'] == pytest.approx(0.04*u, rel=1e-4)
    assert compat['psnr'] == pytest.approx(-10*math.log10(0.04*u), abs=1e-3)
    x, y, c = 100/255, 151/255, 1e-4  # two constant pictures: no variance, only means
    flat = (2*x*y + c)/(x*x + y*y + c)
    assert corrected['ssim'] == pytest.approx(flat, abs=5e-4)
    assert compat['ssim'] == pytest.approx(1 - u*(1 - flat), abs=0.02)  # black windows score 1
    middle = PIE_SIDE*PIE_SIDE//2
    thin = replace(pair, runs=[0, middle - 5*PIE_SIDE, middle, middle])  # five free rows hold no window of eleven
    assert measure_pie(mk_tools('corrected', FREE)[0], grey(100), grey(151), thin)['ssim'] is None


def test_what_lies_under_the_mask_does_not_count(pair):
    "Any change inside the mask leaves every column of the unedited part as it is."
    p = replace(pair, runs=[0, PIE_SIDE*PIE_SIDE//2])
    src = np.random.default_rng(0).integers(0, 255, (PIE_SIDE, PIE_SIDE, 3), np.uint8)
    edit = src.copy()
    edit[PIE_SIDE//2:] //= 2
    other = edit.copy()
    other[:PIE_SIDE//2] = 255 - other[:PIE_SIDE//2]
    for m in MODES:
        tools, _ = mk_tools(m, FREE)
        a, b = [measure_pie(tools, Image.fromarray(src), Image.fromarray(x), p) for x in (edit, other)]
        assert a == b and a['mse'] > 0


def test_no_value_where_there_is_nothing_to_compare(pair):
    tools, missing = mk_tools('corrected', FREE)
    everywhere = replace(pair, runs=[0, PIE_SIDE*PIE_SIDE])  # no unedited part
    assert set(measure_pie(tools, grey(1), grey(9), everywhere).values()) == {None}
    same = measure_pie(tools, grey(9), grey(9), pair)
    assert same['psnr'] is None and same['mse'] == 0  # infinite
    assert set(missing) == set(PIE_COLUMNS) - set(FREE) and set(missing.values()) == {'not asked for'}
    small = grey(9).resize((256, 256))
    with pytest.raises(ValueError, match='256×256'): measure_pie(tools, small, grey(9), pair)


def test_averages_are_over_values_that_exist():
    rows = [dict(psnr=20., mse=0.01, clip_edited=None), dict(psnr=None, mse=0.03, clip_edited=None)]
    s = summarise(rows, dict(lpips='no network'))
    assert (s['psnr'], s['psnr_n'], s['mse'], s['mse_n']) == (20, 1, pytest.approx(200), 2)
    assert s['clip_edited'] is None and s['clip_edited_n'] == 0
    assert 'no pair has a value' in s['missing']['clip_edited'] and s['missing']['lpips'] == 'no network'
    json.loads(json.dumps(s, allow_nan=False))


# ---- The columns with networks: random ones, which say nothing of pictures, but obey the same formulas

def mean_difference(x, y): return (x - y).abs().mean()


def test_lpips_by_hand():
    "The mean absolute difference as network: 0.25 in 0..1 is 0.5 in -1..1; a quarter of the picture is masked."
    a, mask = torch.full((1, 3, 8, 8), 0.25), torch.zeros(8, 8, dtype=torch.bool)
    mask[:4, :4] = True
    look = Look(a, a + 0.25, mask)
    assert pie_metrics.pie_lpips(look, 'compat', mean_difference) == pytest.approx(0.5*0.75)
    assert pie_metrics.pie_lpips(look, 'corrected', mean_difference) == pytest.approx(0.5)
    for m, inside in dict(compat=0., corrected=0.25).items():
        assert all((x[..., mask] == inside).all() for x in unedited(look, m))


@pytest.fixture(scope='session')
def tiny_dino(tmp_path_factory):
    from transformers import ViTConfig, ViTModel
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('dino')
    config = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32,
                       patch_size=8, initializer_range=0.3)
    ViTModel(config).save_pretrained(folder)
    return folder


def similarity_by_hand(vit, x):
    "Cosines of the last layer's keys, from the hidden states before it, with NumPy."
    with torch.no_grad(): h = vit(pixel_values=x, output_hidden_states=True).hidden_states[-2][0].double().numpy()
    weights = {k: v.double().numpy() for k, v in vit.state_dict().items() if '.1.' in k}
    def get(*ends): return next(v for k, v in weights.items() if k.endswith(ends))
    h = (h - h.mean(-1, keepdims=True))/np.sqrt(h.var(-1, keepdims=True) + vit.config.layer_norm_eps)
    h = h*get('layernorm_before.weight') + get('layernorm_before.bias')
    keys = h@get('k_proj.weight', 'key.weight').T + get('k_proj.bias', 'key.bias')
    return np.array([[a@b/np.linalg.norm(a)/np.linalg.norm(b) for a in keys] for b in keys])


@pytest.mark.parametrize('mode', MODES)
def test_structure_distance_by_hand(tiny_dino, mode):
    vit = pie_metrics.load_dino(tiny_dino)
    a, b = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mean, std = [torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    def half(x):  # without a filter it reads the mean of the four middle pixels of each two by two block, which is all
        if mode == 'compat': return torch.nn.functional.avg_pool2d(x, 2)
        return torch.nn.functional.interpolate(x, (32, 32), mode='bilinear', antialias=True)
    scale = 255 if mode == 'compat' else 1
    s = [similarity_by_hand(vit, (half(x)*scale - mean)/std) for x in (a, b)]
    assert s[0].shape == (17, 17)  # sixteen patches and the class token
    got = pie_metrics.pie_structure(Look(a, b, None), mode, vit)
    assert got == pytest.approx(((s[0] - s[1])**2).mean(), rel=1e-3) and got > 1e-4
    assert pie_metrics.pie_structure(Look(a, a, None), mode, vit) == 0


@pytest.fixture(scope='session')
def tiny_clip(tmp_path_factory, pipe):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor
    torch.manual_seed(0)
    folder, tok = tmp_path_factory.mktemp('clip'), pipe.tokenizer
    small = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, projection_dim=8,
                 initializer_range=0.3)
    ids = {k: getattr(tok, k) for k in ('eos_token_id', 'bos_token_id', 'pad_token_id')}
    text = dict(small, vocab_size=len(tok), max_position_embeddings=tok.model_max_length, **ids)
    vision = dict(small, image_size=32, patch_size=8)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    pixels = CLIPImageProcessor(size={'shortest_edge': 32}, crop_size={'height': 32, 'width': 32})
    CLIPProcessor(pixels, tok).save_pretrained(folder)
    return folder


def clip_by_hand(net, im, text):
    "100 max(0, cos) from the two towers, each run alone."
    model, processor = net
    tok = processor.tokenizer(text, return_tensors='pt')
    x = torch.from_numpy(np.array(im.resize((32, 32), Image.Resampling.BICUBIC), np.float32)).permute(2, 0, 1)[None]/255
    ip = processor.image_processor
    x = (x - torch.tensor(ip.image_mean)[:, None, None])/torch.tensor(ip.image_std)[:, None, None]
    with torch.no_grad():
        i = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)[0].double().numpy()
        t = model.text_projection(model.text_model(**tok).pooler_output)[0].double().numpy()
    return 100*max(0., i@t/np.linalg.norm(i)/np.linalg.norm(t))


def test_clip_similarity_by_hand(tiny_clip):
    net = pie_metrics.load_clip(tiny_clip)
    rng, got = np.random.default_rng(0), []
    for text in ('a cat on grass', 'a red balloon', 'a dog in the snow', 'an owl at night') * 2:
        if len(got) == 4: net[0].text_projection.weight.data.neg_()  # what was below zero is now above
        im = Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8))
        got.append(pie_metrics.clip_similarity(net, im, text))
        assert got[-1] == pytest.approx(clip_by_hand(net, im, text), abs=0.05)
    assert 0 in got and max(got) > 1 and len(set(got)) > 3


def test_what_clip_sees_of_the_edited_part(pair):
    b = torch.full((1, 3, PIE_SIDE, PIE_SIDE), 0.6)
    line = replace(pair, runs=[100*PIE_SIDE + 50, 30], target='a dog on grass', words=('dog',))  # 30 pixels long
    def part(p, mode): return edited_part(Look(None, b, torch.from_numpy(p.mask()), p), mode)
    def grey_pixels(im): return (np.array(im)[..., 0] == 153).sum()
    frame = 4*PIE_SIDE - 4
    im, text = part(line, 'compat')
    assert text == 'a dog on grass' and im.size == (PIE_SIDE, PIE_SIDE)
    assert grey_pixels(im) == frame + 30 and (np.array(im) == 0).any()
    im, text = part(line, 'corrected')
    assert text == 'dog' and im.size == (30, 1) and grey_pixels(im) == 30
    assert part(replace(line, words=()), 'corrected')[1] == 'a dog on grass'
    empty = replace(line, runs=[])
    assert part(empty, 'corrected') is None  # published: a black picture with a frame
    assert grey_pixels(part(empty, 'compat')[0]) == frame
    look = Look(None, b, torch.from_numpy(empty.mask()), empty)
    assert math.isnan(pie_metrics.pie_clip_edited(look, 'corrected', None))


def test_networks_that_are_not_there_are_reported(monkeypatch, tiny_dino, pair):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    def refused(*_, **__): raise URLError('no route')
    monkeypatch.setattr(pie_metrics, 'load_lpips', refused)
    tools, missing = mk_tools('corrected', clip='no/such-clip', dino=tiny_dino)
    assert set(missing) == {'lpips', 'clip_whole', 'clip_edited'}
    assert 'alex' in missing['lpips'] and 'no route' in missing['lpips'] and 'no/such-clip' in missing['clip_whole']
    s = summarise([measure_pie(tools, grey(9), grey(99), pair)], missing)
    assert s['lpips'] is None and s['clip_edited'] is None and s['structure_n'] == 1
    assert set(s['missing']) == set(missing)
    with pytest.raises(ValueError, match="use 'compat' or 'corrected'"): mk_tools('exact')
    with pytest.raises(ValueError, match='unknown column'): mk_tools(columns=['fid'])


# ---- The run

def test_how_a_pair_is_edited(pipe, pair):
    tok = pipe.tokenizer
    p = replace(pair, source='a cat on grass', target='a dog on grass', blend=('cat', 'dog'))
    longer = replace(p, target='a red cat on grass')
    assert edit_settings(tok, p) == dict(kind='replace', blend=None)
    assert edit_settings(tok, longer)['kind'] == 'refine'
    assert edit_settings(tok, p, blend=True)['blend'] == ('cat', 'dog')
    published = dict(kind='refine', tau_cross=0.4, tau_self=0.6, threshold=0.3)
    assert edit_settings(tok, p, 'reference') == published | dict(blend=('cat', 'dog'), weights={'dog': 2.})
    assert blend_words(tok, longer) is None  # a word that is not there
    assert blend_words(tok, replace(p, blend=())) is None
    with pytest.raises(ValueError, match="use 'words' or 'reference'"): edit_settings(tok, p, 'best')


@pytest.fixture
def counted():
    calls = []
    def work(pipe, image, prompt, **kw):
        calls.append(prompt)
        return invert(pipe, image, prompt, T=2, w=3., progress=False)
    return calls, work


def test_a_second_run_computes_nothing_again(pipe, data, tmp_path, counted):
    calls, work = counted
    usual = dict(invert=work, method='own', T=2, w=3., out=tmp_path/'out', columns=FREE, progress=False)
    def run(data=data, **kw): return run_pie(pipe, data, **usual | kw)
    def lines(): return [k for _, results in read_results(tmp_path/'out'/'rows.sqlite') for k in results]
    part = run(n=1)
    assert len(calls) == 1 and part['pairs'] == part['psnr_n'] == 1
    first = run()
    assert len(calls) == len(lines()) == 3 and first['psnr_n'] == 3
    assert first['lpips'] is None and first['missing']['lpips'] == 'not asked for'
    assert run() == first and len(calls) == len(lines()) == 3        # nothing again
    compat = run(mode='compat')
    assert len(calls) == 3 and len(lines()) == 6                      # measured again, not edited again
    assert all(compat[k] > first[k] for k in ('psnr', 'ssim')) and compat['mse'] < first['mse']
    run(p2p='reference')
    assert len(calls) == 6                                            # other edits
    items = json.loads((data/'mapping_file.json').read_text())
    run(spoil(data, tmp_path, editing_prompt=items['000000000000']['editing_prompt'] + ' at night'))
    assert len(calls) == 7                                            # one entry has changed


def test_all_columns_of_a_run(pipe, data, tmp_path, counted, tiny_dino, tiny_clip, monkeypatch):
    "Every column that has a network gives a finite number; LPIPS's is stood in for."
    monkeypatch.setattr(pie_metrics, 'load_lpips', lambda net, device: mean_difference)
    usual = dict(invert=counted[1], method='own', T=2, w=3., out=tmp_path, clip=tiny_clip, dino=tiny_dino,
                 progress=False)
    for mode in MODES:
        f = run_pie(pipe, data, mode=mode, **usual)
        assert not f['missing'] and all(f[f'{c}_n'] == 3 and math.isfinite(f[c]) for c in PIE_COLUMNS)
        assert len(str(pie_run.pie_table(f)).splitlines()) == 2 + len(PIE_COLUMNS)   # a head, and a note
    assert len(counted[0]) == 3


def test_bad_runs_are_refused(pipe, data, tmp_path, capfd):
    bad = {'unknown method': dict(method='magic'), 'mode is': dict(mode='exact'), 'at least one pair': dict(n=0),
           'p2p is': dict(p2p='x')}
    for said, kw in bad.items():
        with pytest.raises(ValueError, match=said): run_pie(pipe, data, columns=FREE, out=tmp_path/'out', **kw)
    own = dict(invert=invert, out=tmp_path/'out', columns=FREE)
    for kw, said in ((own, 'give `method`'), (own | dict(method='../x'), 'no plain name')):
        with pytest.raises(ValueError, match=said): run_pie(pipe, data, **kw)
    assert not list(tmp_path.rglob('*.png'))
    ours = ['--data', str(data)]
    for argv, said in ((['--data', str(tmp_path)], 'mapping_file.json'), ([*ours, '--method', 'magic'], 'magic'),
                       ([*ours, '--mode', 'exact'], 'exact'), ([*ours, '--columns', 'fid'], 'fid')):
        with pytest.raises(SystemExit) as e:
            nulltext_bench(['pie', '--quick', '--json', str(tmp_path/'x.json'), '--device', 'cpu', *argv])
        assert e.value.code == 2
        err = capfd.readouterr().err.strip()
        assert said in err.splitlines()[-1] and 'Traceback' not in err
    assert not (tmp_path/'x.json').exists()
