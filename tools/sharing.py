"How much quicker two processes are than one, with one thread each: the edit benchmark on the scenes with one coloured thing."
import json, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def work(file):
    import torch
    from nulltext_nb.lab.edits import bench_edit
    from nulltext_nb.lab.queue import is_first
    from nulltext_nb.lab.stats import machine
    from nulltext_nb.pipeline import load_pipe
    torch.set_num_threads(1)
    pipe = load_pipe()
    bench_edit(pipe, quick=True, methods=['npi'], only='any0', file=f'{file}.warm', progress=False)  # everything is loaded and warm
    start = time.time()
    bench_edit(pipe, methods=['npi'], only='coloured', file=file, progress=False)
    if is_first(): Path(f'{file}.seconds').write_text(json.dumps(dict(seconds=time.time() - start) | machine(pipe)))


if __name__ == '__main__':
    if len(sys.argv) > 1: work(sys.argv[1]); sys.exit()
    out = {}
    with tempfile.TemporaryDirectory() as tmp:
        for n in (1, 2):
            file = Path(tmp)/f'{n}.jsonl'
            launch = ['--multi_gpu', '--num_processes', '2'] if n == 2 else ['--num_processes', '1']
            subprocess.run([sys.executable, '-m', 'accelerate.commands.launch', *launch, '--num_cpu_threads_per_process', '1', __file__, file], check=True)
            out |= {f'seconds_{n}': (r := json.loads(Path(f'{file}.seconds').read_text())).pop('seconds')} | r
    out['efficiency'] = out['seconds_1']/out['seconds_2']/2
    (ROOT/'nbs'/'results'/'sharing.json').write_text(json.dumps(out, indent=1) + '\n')
    print(out)
