__version__ = "0.1.0"

from pathlib import Path

PACKAGE = Path(__file__).parent  # where the package lies
DATA = PACKAGE/'data'            # weights, vocabulary, sprites and fixed lists that travel with it

# Names are imported when they are first used, so that `import nulltext_nb` costs nothing.
_home = {name:mod for mod,names in {
    'checks': ('set_seed',),
    'images': ('load_image', 'show_images', 'psnr'),
    'pipeline': ('load_pipe', 'ready', 'encode', 'decode', 'embed', 'count_units'),
    'weights': ('fingerprint',),
    'inversion': ('ddim_invert', 'sample'),
    'nulltext': ('fit_nulls', 'Preset', 'PRESETS'),
    'store': ('Inversion',),
    'editing': ('invert', 'edit'),
    'world.captions': ('describe',),
    'app.show': ('compare',)}.items() for name in names}
__all__ = list(_home)

def __getattr__(name):
    if name not in _home: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    globals()[name] = value = getattr(import_module(f'{__name__}.{_home[name]}'), name)
    return value

def __dir__(): return [*globals(), *__all__]
