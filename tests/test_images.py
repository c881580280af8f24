"Picture files as people and strangers bring them: each becomes a picture, or one line that names the file."
import io, os, resource, struct, subprocess, time, warnings, zlib

import numpy as np
import pytest
from conftest import MANY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from nulltext_nb.images import READERS, load_image, save_images

RGB = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 64, 3), np.uint8))
SMALL = RGB.crop((0, 0, 24, 20))
SECONDS, BYTES = 2, 1e9  # that no file may exceed


def encoded(im, format='PNG', **kw):
    buf = io.BytesIO()
    im.copy().save(buf, format, **kw)   # Pillow leaves settings of a format on the picture
    return buf.getvalue()


def two(im):
    "Settings that save a second picture in the same file."
    return dict(save_all=True, append_images=[im.rotate(180)])


def with_exif(orientation=6):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = 'a camera'
    exif.get_ifd(0x8769)[0x9003] = '2020:01:01 00:00:00'
    return exif


def png_chunk(kind, data=b''):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png_header(w, h):
    "A PNG that claims to be `w`×`h` pixels and holds none of them."
    header = struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + png_chunk(b'IHDR', header) + png_chunk(b'IDAT') + png_chunk(b'IEND')


def png_with(kind, data):
    "A good PNG with one more chunk."
    png = encoded(RGB)
    return png[:33] + png_chunk(kind, data) + png[33:]


def many_pages(n):
    "A TIFF with `n` pages, all but the first without a picture."
    data = bytearray(encoded(SMALL, 'TIFF'))
    at = struct.unpack_from('<I', data, 4)[0]
    at += 2 + 12*struct.unpack_from('<H', data, at)[0]   # where the first page says where the next one is
    for _ in range(n - 1):
        struct.pack_into('<I', data, at, len(data))
        data += struct.pack('<HHHIII', 1, 256, 3, 1, 24, 0)
        at = len(data) - 4
    return bytes(data)


def many_passes(n):
    "A JPEG of 36 million pixels whose last pass is repeated `n` times."
    jpg = encoded(Image.new('L', (6000, 6000)), 'JPEG', progressive=True)
    scan = jpg[jpg.rfind(b'\xff\xc4', 0, jpg.rfind(b'\xff\xda')):-2]
    return jpg[:-2] + n*scan + jpg[-2:]


def spoilt_exif(data):
    "The file with noise where its camera's data ends."
    at = data.index(b'a camera') - 40
    return data[:at] + bytes(np.random.default_rng(1).integers(0, 255, 48, np.uint8)) + data[at + 48:]


def bad_header(format):
    "The EXIF block is no block at all."
    return encoded(RGB, format, exif=b'Exif\0\0MM\0\0nothing')


# ---- What is read

GOOD = {  # name: (bytes, size, what is said of it)
    'palette.png': (encoded(RGB.convert('P')), (64, 80), ''),
    'grey.png': (encoded(RGB.convert('L')), (64, 80), ''),
    'bilevel.png': (encoded(RGB.convert('1')), (64, 80), ''),
    'grey16.png': (encoded(Image.fromarray(np.full((64, 64), 40000, np.uint16))), (64, 64), ''),
    'cmyk.jpg': (encoded(RGB.convert('CMYK'), 'JPEG'), (64, 80), ''),
    'alpha.png': (encoded(Image.new('RGBA', (64, 64), (9, 99, 9, 0))), (64, 64), 'transparent'),
    'animated.gif': (encoded(RGB, 'GIF', save_all=True, append_images=[RGB.rotate(90)]), (64, 80), 'the first is used'),
    'two.mpo': (encoded(RGB, 'MPO', save_all=True, append_images=[RGB]), (64, 80), 'the first is used'),
    'sideways.jpg': (encoded(RGB, 'JPEG', exif=with_exif()), (80, 64), ''),
    'sideways.png': (encoded(RGB, 'PNG', exif=with_exif()), (80, 64), ''),
    'sideways.tif': (encoded(RGB, 'TIFF', exif=with_exif()), (80, 64), ''),
    'sideways.webp': (encoded(RGB, 'WEBP', exif=with_exif()), (80, 64), ''),
    'upright.jpg': (encoded(RGB, 'JPEG', exif=with_exif(99)), (64, 80), ''),
    'spoilt exif.jpg': (spoilt_exif(encoded(RGB, 'JPEG', exif=with_exif(1))), (64, 80), ''),
    'no exif.jpg': (bad_header('JPEG'), (64, 80), ''),
    'no exif.png': (bad_header('PNG'), (64, 80), ''),
    'no exif.webp': (bad_header('WEBP'), (64, 80), ''),
    'book.tif': (many_pages(100_000), (24, 20), 'the first is used'),
    'picture named wrong.txt': (encoded(RGB), (64, 80), '')}
BAD = {  # name: (bytes, what is said of it)
    'empty.png': (b'', 'is empty'),
    'cut.png': (encoded(RGB)[:2000], 'damaged'),
    'text.png': (b'hello', 'not a picture'),
    'drawing.png': (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n', 'not a picture'),
    'dot.png': (encoded(RGB.resize((1, 1))), '1×1'),
    'huge.png': (png_header(12000, 9000), '12000×9000'),
    'bomb.png': (png_header(60000, 60000), 'too many pixels'),
    'letter.png': (png_with(b'zTXt', b'a\0\0' + zlib.compress(bytes(10**8))), 'damaged'),
    'profile.png': (png_with(b'iCCP', b'a\0\0' + zlib.compress(bytes(10**8))), 'damaged'),
    'passes.jpg': (many_passes(300), 'passes'),
    'strip.tif': (many_pages(1).replace(struct.pack('<HHII', 256, 4, 1, 24), struct.pack('<HHII', 256, 2, 1, 24)), '')}


def tried(path):
    "What `load_image` makes of `path`, and what it says; fails on anything but a picture, or one line that names it."
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        start = time.process_time()
        try: im = load_image(path)
        except ValueError as e: im, line = None, str(e)
        else: line = ''
    assert time.process_time() - start < SECONDS
    if im: assert im.mode == 'RGB' and min(im.size) >= 8 and not im.info
    else: assert str(path) in line and line.isprintable() and len(line) < 500
    return im, line + ' '.join(str(o.message) for o in said if issubclass(o.category, UserWarning))


@pytest.mark.parametrize('name', GOOD)
def test_odd_pictures_are_read(name, tmp_path):
    data, size, said = GOOD[name]
    (tmp_path/name).write_bytes(data)
    im, line = tried(tmp_path/name)
    assert im.size == size and (said in line and name in line if said else not line)
    assert load_image(im).tobytes() == im.tobytes()   # a second time, as it is handed on


@pytest.mark.parametrize('orientation', range(10))
def test_every_orientation_is_turned_as_pillow_does(orientation, tmp_path):
    RGB.save(tmp_path/'a.png', exif=with_exif(orientation))
    with Image.open(tmp_path/'a.png') as im: want = ImageOps.exif_transpose(im)
    assert np.array_equal(load_image(tmp_path/'a.png'), want)


@pytest.mark.parametrize('name', BAD)
def test_bad_pictures_are_refused(name, tmp_path):
    data, said = BAD[name]
    (tmp_path/name).write_bytes(data)
    im, line = tried(tmp_path/name)
    assert im is None and said in line


def test_a_picture_in_memory_is_treated_like_a_file(tmp_path):
    for name in 'no exif.jpg', 'spoilt exif.jpg', 'sideways.tif', 'sideways.png':
        data, size, _ = GOOD[name]
        im = Image.open(io.BytesIO(data))
        assert load_image(im).size == load_image(im).size == size
    (tmp_path/'cut.jpg').write_bytes(encoded(RGB, 'JPEG')[:900])
    for source, name in ((tmp_path/'cut.jpg', 'cut.jpg'), (io.BytesIO(encoded(RGB)[:2000]), 'the image')):
        with pytest.raises(ValueError, match=f'{name} is damaged'): load_image(Image.open(source))
    mine = Image.new('RGB', (9, 9))
    mine.info['mine'] = 1
    assert not load_image(mine).info and mine.info == {'mine': 1}
    for other in None, b'x', np.zeros((9, 9, 3), np.uint8), io.BytesIO():
        with pytest.raises(ValueError, match=f'a {type(other).__name__} is no picture'): load_image(other)


def test_no_other_program_is_started(tmp_path, monkeypatch):
    "Whatever a file holds or is called: kinds that are not promised are not even tried."
    monkeypatch.setattr(subprocess, 'Popen', None)
    Image.init()
    assert set(READERS) == {'PNG', 'JPEG', 'WEBP', 'GIF', 'TIFF', 'BMP'}
    for format in sorted(set(Image.SAVE) - set(READERS) - {'DIB', 'MPO', 'JPEG2000'}):
        try: data = encoded(RGB, format)
        except Exception: continue
        for ending in '.png', f'.{format.lower()}':
            (tmp_path/f'x{ending}').write_bytes(data)
            im, said = tried(tmp_path/f'x{ending}')
            assert im is None and 'not a picture of a kind' in said, format


def test_what_is_no_file_is_called_so(tmp_path):
    os.mkfifo(tmp_path/'pipe')
    for path, said in ((tmp_path/'none.png', 'does not exist'), (tmp_path, 'is a folder'), ('/dev/zero', 'no ordinary'),
                       (tmp_path/'pipe', 'no ordinary'), (tmp_path/('a'*300), 'cannot be read')):
        im, line = tried(path)
        assert im is None and said in line
    with pytest.raises(ValueError, match='cannot be read'): load_image('a\0b.png')


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    (tmp_path/'mine.png').write_bytes(encoded(RGB))
    def refuse(*_): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(type(tmp_path), 'read_bytes', refuse)
    assert 'cannot be read (Permission denied)' in tried(tmp_path/'mine.png')[1]


def test_a_lack_of_memory_is_called_so(tmp_path, monkeypatch):
    def full(*_): raise MemoryError
    RGB.save(tmp_path/'in.png')
    monkeypatch.setattr('nulltext_nb.images._to_rgb', full)
    assert 'needs more memory than there is' in tried(tmp_path/'in.png')[1]


def test_titles_are_text(tmp_path):
    "What looks like a formula is shown as it is written."
    save_images([RGB], [r'$\frac{$ and $x_$'], tmp_path/'a.png')
    assert Image.open(tmp_path/'a.png').size[0] > 100


# ---- Damage by chance

EXIF = with_exif()
SEEDS = [encoded(im, kind, **kw) for im, kind, kw in [
    (SMALL, 'PNG', {}), (SMALL.convert('P'), 'PNG', dict(transparency=3)), (SMALL.convert('1'), 'PNG', {}),
    (SMALL, 'PNG', dict(exif=EXIF, icc_profile=bytes(99), dpi=(9, 9))), (SMALL, 'PNG', two(SMALL)),
    (SMALL.convert('LA'), 'PNG', {}), (Image.new('I;16', (9, 9), 999), 'PNG', {}),
    (SMALL, 'JPEG', {}), (SMALL, 'JPEG', dict(exif=EXIF, icc_profile=bytes(99))), (SMALL, 'MPO', two(SMALL)),
    (SMALL, 'JPEG', dict(progressive=True)), (SMALL.convert('CMYK'), 'JPEG', {}), (SMALL.convert('L'), 'JPEG', {}),
    (SMALL, 'WEBP', {}), (SMALL, 'WEBP', dict(lossless=True, exif=EXIF)), (SMALL.convert('RGBA'), 'WEBP', two(SMALL)),
    (SMALL, 'GIF', {}), (SMALL, 'GIF', two(SMALL)),
    *((SMALL, 'TIFF', dict(compression=c)) for c in ('raw', 'tiff_lzw', 'tiff_adobe_deflate', 'jpeg', 'packbits')),
    (SMALL.convert('1'), 'TIFF', dict(compression='group4')), (SMALL, 'TIFF', two(SMALL)),
    (SMALL, 'TIFF', dict(exif=EXIF)),
    (SMALL.convert('F'), 'TIFF', {}), (SMALL.convert('CMYK'), 'TIFF', {}), (SMALL.convert('P'), 'TIFF', {}),
    (SMALL, 'BMP', {}), (SMALL.convert('P'), 'BMP', {}), (SMALL.convert('1'), 'BMP', {})]]


def with_checksums(png):
    "A PNG whose damage has been signed anew, chunk by chunk, as far as they can be told apart."
    out, at = png[:8], 8
    while at + 12 <= len(png):
        n = struct.unpack_from('>I', png, at)[0]
        if n > len(png): break
        out += png_chunk(png[at+4:at+8], png[at+8:at+8+n])
        at += 12 + n
    return out + png[at:]


@st.composite
def damaged(draw):
    "A small picture file in which some bytes were changed, put in or left out."
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, 80) | st.integers(0, len(data)))
        gone = draw(st.integers(0, 4) | st.integers(0, len(data)))
        data[at:at+gone] = draw(st.binary(min_size=gone, max_size=gone) if gone < 5 else st.binary(max_size=8))
    signed = data.startswith(b'\x89PNG') and draw(st.booleans())
    return with_checksums(bytes(data)) if signed else bytes(data)


@settings(max_examples=MANY['images'], derandomize=True, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))
@given(data=damaged())
def test_damage_of_any_kind(data, tmp_path_factory):
    "A picture or one line, in bounded time and memory."
    path = tmp_path_factory.getbasetemp()/'damaged'
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if data: tried(path)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)*1024 < BYTES
