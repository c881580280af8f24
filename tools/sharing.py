"How much quicker two processes are than one, a thread each: the edit benchmark on scenes with a coloured thing."
import json, subprocess, sys, tempfile, time
from pathlib import Path

from nulltext_nb.files import writing

ROOT = Path(__file__).resolve().parents[1]


def work(file):
    "Take part in the benchmark; the first process writes its seconds beside `file`."
    import torch
    from nulltext_nb.lab.edits import bench_edit
    from nulltext_nb.lab.queue import is_first
    from nulltext_nb.lab.stats import machine
    from nulltext_nb.pipeline import load_pipe
    torch.set_num_threads(1)
    pipe = load_pipe()
    warm = f'{file}.warm.sqlite'
    bench_edit(pipe, quick=True, methods=['npi'], only='any0', file=warm, progress=False)  # loads everything
    start = time.time()
    bench_edit(pipe, methods=['npi'], only='coloured', file=f'{file}.sqlite', progress=False)
    seconds = time.time() - start
    if is_first(): Path(f'{file}.seconds').write_text(json.dumps(dict(seconds=seconds) | machine(pipe)))


def measure(n, folder):
    "Seconds of `n` processes, and what measured them."
    file = folder/str(n)
    launch = ['--multi_gpu'] if n > 1 else []
    launch += ['--num_processes', str(n), '--num_cpu_threads_per_process', '1']
    subprocess.run([sys.executable, '-m', 'accelerate.commands.launch', *launch, __file__, file], check=True)
    return json.loads(Path(f'{file}.seconds').read_text())


def main():
    with tempfile.TemporaryDirectory() as tmp: one, two = [measure(n, Path(tmp)) for n in (1, 2)]
    seconds = dict(seconds_1=one.pop('seconds'), seconds_2=two.pop('seconds'))
    out = seconds | one | dict(efficiency=seconds['seconds_1']/seconds['seconds_2']/2)
    with writing(ROOT/'nbs'/'results'/'sharing.json') as part: part.write_text(json.dumps(out, indent=1) + '\n')
    print(out)


if __name__ == '__main__':
    if len(sys.argv) > 1: work(sys.argv[1])
    else: main()
