"Write the repository's address, which stands in settings.ini, into the links of the notebooks."
import re

from nbdev.config import get_config

from nulltext_nb.files import writing


def relink(text,  # Any text
           cfg    # The project's settings
    ):
    "`text` with its Colab badges and its install lines pointing to the repository of `cfg`."
    repo, any_repo = f'{cfg.user}/{cfg.repo}', r'[\w.-]+/[\w.-]+'
    colab = r'(colab\.research\.google\.com/github/)'
    text = re.sub(rf'{colab}{any_repo}/blob/[\w.-]+/nbs/', rf'\g<1>{repo}/blob/{cfg.branch}/nbs/', text)
    text = re.sub(rf'(git clone -q --depth 1 https://github\.com/){any_repo}', rf'\g<1>{repo}', text)
    return re.sub(rf'(git\+https://github\.com/){any_repo}', rf'\g<1>{repo}', text)


if __name__ == '__main__':
    cfg = get_config()
    for p in sorted(cfg.nbs_path.rglob('*.ipynb')):
        old = p.read_text(encoding='utf-8')
        if (new := relink(old, cfg)) != old:
            with writing(p) as part: part.write_text(new, encoding='utf-8')
            print(p.name)
