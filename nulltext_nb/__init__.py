__version__ = "0.1.0"

# Names are imported when they are first used, so that `import nulltext_nb` costs nothing.
_home = {name:mod for mod,names in {
    'core': ('load_image', 'show_images', 'compare', 'psnr', 'set_seed'),
    'pipeline': ('load_pipe', 'encode', 'decode', 'embed', 'count_units', 'fingerprint'),
    'inversion': ('ddim_invert', 'sample'),
    'nulltext': ('fit_nulls', 'Preset', 'PRESETS'),
    'editing': ('invert', 'edit', 'Inversion'),
    'scenes': ('describe',)}.items() for name in names}
__all__ = list(_home)

def __getattr__(name):
    if name not in _home: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    globals()[name] = value = getattr(import_module(f'{__name__}.{_home[name]}'), name)
    return value

def __dir__(): return [*globals(), *__all__]
