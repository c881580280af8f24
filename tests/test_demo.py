"What the demo must show, with its own defaults, and that this test would notice a part that does not work."
import json

import pytest
import torch
from PIL import Image

from nulltext_nb import demo, region
from nulltext_nb.cli import nulltext_demo
from nulltext_nb.lab.edits import readings
from nulltext_nb.pipeline import image_size, load_pipe
from nulltext_nb.solvers import SOLVERS
from nulltext_nb.world.scenes import EXAMPLE

KINDS = {'another object', 'another colour', 'another material', 'another place', 'another style', 'a removal'}


def check_report(r, T):
    "Cost and reconstruction."
    assert (r['prompt'], r['T'], r['w'], r['solver']) == (EXAMPLE.caption, T, 7.5, 'residual')
    assert (r['unet_forwards'], r['unet_backwards']) == (3*T + 1, 0), 'a step up takes one, a step down two'
    assert r['psnr_nulltext'] >= r['psnr_vae'] - 1, 'the reconstruction is not near the ceiling'
    assert r['psnr_ddim_cfg'] <= r['psnr_nulltext'] - 10, 'plain inversion would do as well'
    assert KINDS <= {e['kind'] for e in r['edits']} and len(r['edits']) == len(demo.DEMO_EDITS) >= 6


def check_edit(pair, im):
    "The judge reads the new word and not the old one; a removed thing is not seen any more."
    assert readings(pair, im, EXAMPLE.draw(im.width))[0] == 1, pair.change


def check_demo(folder, T):
    "All that the demo wrote into `folder`."
    r = json.loads((folder/'report.json').read_text())
    check_report(r, T)
    for pair, e in zip(demo.DEMO_EDITS, r['edits'], strict=True):
        im = Image.open(folder/e['file'])
        assert im.size == (image_size(load_pipe()),)*2
        check_edit(pair, im)
        assert e['kept_psnr'] is None or e['kept_psnr'] > 22, f'{pair.change}: what should stay has changed'
    assert Image.open(folder/'strip.png').width > 1000


def test_demo_shows_what_it_should(tmp_path):
    assert nulltext_demo(['--out', str(tmp_path), '--quiet']) == 0
    check_demo(tmp_path, 50)


# ---- The same with twenty steps, whole and with one part broken

def break_nothing(monkeypatch): pass


def break_encoder(monkeypatch):
    "The text encoder's weights are noise."
    def load(*args):
        pipe, gen = load_pipe(*args), torch.Generator().manual_seed(0)
        for p in pipe.text_encoder.parameters(): p.data.normal_(0, 0.05, generator=gen)
        return pipe
    monkeypatch.setattr(demo, 'load_pipe', load)


def break_solver(monkeypatch):
    "What the steps lack is not added."
    whole = SOLVERS['residual']
    def lame(*args, **kw):
        found = whole(*args, **kw)
        found.extra.zero_()
        return found
    monkeypatch.setitem(SOLVERS, 'residual', lame)


def break_region(monkeypatch):
    "Every edit may go everywhere."
    whole = region.plan_edit
    def everywhere(*args, **kw):
        plan = whole(*args, **kw)
        plan.allow()
        return plan
    monkeypatch.setattr(region, 'plan_edit', everywhere)


@pytest.mark.parametrize('broken', [pytest.param(break_nothing, marks=pytest.mark.quick), break_encoder, break_solver,
                                    break_region])
def test_a_broken_part_is_noticed(broken, tmp_path, monkeypatch):
    broken(monkeypatch)
    def demonstrate():
        demo.run_demo(tmp_path, T=20, progress=False)
        monkeypatch.undo()
        check_demo(tmp_path, 20)
    if broken is break_nothing: return demonstrate()
    with pytest.raises((AssertionError, ValueError)): demonstrate()   # words that look anywhere leave no room
