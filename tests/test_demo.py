"What the demo must show, with its own defaults: T = 50, w = 7.5."
import json

from PIL import Image

from nulltext_nb.cli import nulltext_demo


def test_demo_shows_what_it_should(tmp_path):
    assert nulltext_demo(['--out', str(tmp_path), '--quiet']) == 0
    r = json.loads((tmp_path/'report.json').read_text())
    assert (r['T'], r['w']) == (50, 7.5)
    assert r['psnr_nulltext'] >= r['psnr_vae'] - 1, 'the reconstruction is not near the ceiling'
    assert r['psnr_ddim_cfg'] <= r['psnr_nulltext'] - 3, 'plain inversion would do as well'
    assert r['unet_forwards'] <= 650 and r['unet_backwards'] <= 500
    assert {'another object', 'another background', 'another colour', 'a word up', 'a word down'} <= {e['kind'] for e in r['edits']}
    for e in r['edits']: assert Image.open(tmp_path/e['file']).size == (64, 64) and e['background_psnr'] > 0
    assert Image.open(tmp_path/'strip.png').width > 1000
