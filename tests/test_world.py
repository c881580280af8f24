"Scenes refuse what has no true picture and say what has; the tools that show what the model draws."
import json, shutil
from collections import Counter

import pytest
from conftest import ROOT, tool
from PIL import Image
from safetensors.torch import save_file

from nulltext_nb.lab.edits import REFERENCE, load_pairs
from nulltext_nb.world.art import NOUNS, drawing
from nulltext_nb.world.materials import BEARERS, COLOURABLE, MATERIALS, sprite, with_material
from nulltext_nb.world.places import BACKGROUNDS, draw_background
from nulltext_nb.world.scenes import Scene, Thing, draw
from nulltext_nb.world.styles import STYLES, with_style

pytestmark = pytest.mark.quick

SCENE = Scene((Thing('cat', material='golden', x=0.3, size=0.5), Thing('balloon', 'red', x=0.75, size=0.4)), 'on grass')
SKETCH = SCENE.add('pencil drawing')


# What is asked, and the words that the refusal must offer
REFUSED = {
    'unknown noun': (lambda: Thing('unicorn'), NOUNS),
    'unknown material': (lambda: Thing('cat', material='velvet'), MATERIALS),
    'unknown colour': (lambda: Thing('car', 'beige'), ['red', 'pink']),
    'unknown place': (lambda: Scene((Thing('cat'),), 'in a dream'), BACKGROUNDS),
    'unknown style': (lambda: Scene((Thing('cat'),), 'on grass', style='fresco'), STYLES),
    'unknown artist': (lambda: Scene((Thing('cat'),), 'on grass', 'rembrandt'), ['noto', 'twemoji']),
    'unknown word': (lambda: SCENE.add('very'), [*NOUNS, *MATERIALS, *STYLES]),
    'unknown drawing': (lambda: drawing('unicorn'), NOUNS),
    'unknown look of a drawing': (lambda: sprite('cat', look='velvet'), MATERIALS),
    'unknown material of a drawing': (lambda: with_material(drawing('cat'), 'velvet'), MATERIALS),
    'unknown background': (lambda: draw_background('in a dream'), BACKGROUNDS),
    'unknown style of a picture': (lambda: with_style(Image.new('RGB', (8, 8)), 'fresco'), STYLES),
    'a material that the thing cannot bear': (lambda: Thing('lemon', material='golden'), BEARERS),
    'the same by a swap': (lambda: SCENE.swap('cat', 'lemon'), BEARERS),
    'the same by an addition': (lambda: SCENE.swap('golden', '').swap('cat', 'lemon').add('icy', 'lemon'), BEARERS),
    'a colour that no thing can have': (lambda: Scene((Thing('cat'),), 'on grass').add('red'), COLOURABLE),
    'a style twice': (lambda: SKETCH.add('neon sign'), [s for s in STYLES if s != 'pencil drawing']),
    'the same style twice': (lambda: SKETCH.add('pencil drawing'), ['neon sign']),
    'a place for a style': (lambda: SKETCH.swap('pencil drawing', 'at night'), ['style']),
    'a word that is not there': (lambda: SCENE.swap('dog', 'cat'), ['a golden cat and a red balloon on grass']),
    'a size of no multiple of 8': (lambda: SCENE.draw(100), ['96']),
    'no size': (lambda: draw(SCENE, 0), ['8']),
    'three things': (lambda: SCENE.add(Thing('dog')), ['one or two']),
    'nothing': (lambda: SCENE.swap('balloon', '').swap('cat', ''), ['one or two'])}


@pytest.mark.parametrize('what', REFUSED)
def test_a_refusal_is_one_line_that_says_what_is_possible(what):
    ask, offers = REFUSED[what]
    with pytest.raises(ValueError) as e: ask()
    said = str(e.value)
    assert '\n' not in said and all(word in said for word in offers), said


CAPTIONS = ['a pencil drawing of a golden cat and a red balloon on grass', 'a pink car in the snow',
            'a tree in the snow']


def test_what_is_named_is_scored_by_kind():
    naming = tool('naming')
    assert naming.words_in('a neon sign of a snowman in the snow')['nouns'] == {'snowman'}
    all_right = naming.score(CAPTIONS, dict(enumerate(CAPTIONS, 1)))
    assert set(all_right['share'].values()) == {1.} and not all_right['missed']
    assert all_right['asked'] == dict(nouns=4, colours=1, materials=1, backgrounds=3, styles=1)
    lines = '1: a golden dog and a balloon on grass', '2) a pink car or a bus in the snow', 'what is 3?'
    named = naming.read_lines('\n'.join(lines))
    assert list(named) == [1, 2]
    assert naming.read_lines('1:\n2: A cat') == {1: '', 2: 'a cat'}
    result = naming.score(CAPTIONS, named)
    # a pencil shows no red; the dog is no cat; who says two things of one has guessed; tree and style are left out
    assert result['right'] == dict(nouns=1, colours=1, materials=1, backgrounds=2, styles=0)
    assert [(m['picture'], m['kind']) for m in result['missed']] == [
        (1, 'nouns'), (1, 'styles'), (2, 'nouns'), (3, 'nouns'), (3, 'backgrounds')]


def test_a_style_that_is_not_there_is_missed():
    result = tool('naming').score(['a car in the snow'], {1: 'an old photo of a car in the snow'})
    assert result['missed'] == [dict(picture=1, kind='styles', shown=[], named=['old photo'])]


def test_stored_edits_are_drawn_of_all_kinds_and_scored_blindly(tmp_path):
    naming, pairs = tool('naming'), {p.key: p for p in load_pairs()}
    naming.write_edits(tmp_path, 11, 1)
    tiles = [(pairs[k], m) for k, m in json.loads((tmp_path/'key.json').read_text())['tiles']]
    kinds = Counter(p.kind for p, m in tiles if m == 'truth')
    assert sorted(kinds.values()) == [1]*7 + [2]*2 and not {'nothing', 'weight'} & set(kinds)
    assert set(Counter(m for _, m in tiles).values()) == {11} and (tmp_path/'sheet.png').exists()
    for name in 'edit', 'edit_rows': shutil.copy(ROOT/'nbs'/'results'/f'{name}.json', tmp_path)
    said = [f'{i}: {(p.source.caption if m == REFERENCE else p.prompt)}' for i, (p, m) in enumerate(tiles, 1)]
    (tmp_path/'named.txt').write_text('\n'.join(said))
    naming.write_edit_score(tmp_path, tmp_path/'named.txt', tmp_path)
    blind, edit = [json.loads((tmp_path/f'{name}.json').read_text()) for name in ('blind', 'edit')]
    assert (blind['default'], blind['google'], blind['truth'], blind['pictures']) == (1., 0., 1., 22)
    assert (edit['blind_default'], edit['blind_google']) == (1., 0.)
    assert list(blind) == list(json.loads((ROOT/'nbs'/'results'/'blind.json').read_text()))
    gone = next(p for p in pairs.values() if p.kind == 'removed')
    assert naming.shows(gone, gone.prompt) and not naming.shows(gone, '')   # a ruined picture shows no removal
    (tmp_path/'named.txt').write_text('\n'.join(said[1:]))
    with pytest.raises(ValueError, match='no line for'):
        naming.write_edit_score(tmp_path, tmp_path/'named.txt', tmp_path)


def test_the_strip_shows_checkpoints_in_the_order_of_their_latents(tmp_path):
    strip, grey = tool('strip'), [[Image.new('RGB', (64, 64), (v, v, v))]*6 for v in (40, 200)]
    picture = strip.strip(grey, ['early', 'late'])
    assert picture.size == (strip.MARGIN + 2*strip.SIDE, strip.TOP + 6*strip.SIDE)
    at = [picture.getpixel((strip.MARGIN + x*strip.SIDE + 60, strip.TOP + 60))[0] for x in (0, 1)]
    assert at == [40, 200] and strip.lines('a cat in a very dark forest') == 'a cat in a very\ndark forest'
    for name, seen in {'b': 900, 'a': 10000}.items():
        save_file({}, tmp_path/f'{name}.safetensors', {'seen': str(seen)})
    assert [f.stem for f in sorted(tmp_path.glob('*'), key=strip.latents_seen)] == ['b', 'a']
