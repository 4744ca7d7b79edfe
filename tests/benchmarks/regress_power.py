"""The smallest damage that `bench regress` catches, against the number of utterances: `python -m tests.benchmarks.regress_power`.

Noise of several strengths (standard deviations of each tensor) is added to the decoder of the tiny 40 Hz model; every strength is judged
on many random draws of n utterances. Prints the share of draws in which it is called worse, and the smallest strength that is caught in
80 % of them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from rich.console import Console

from bench.analysis.verdicts import regress
from bench.checkpoint import load_safetensors, resolve
from bench.regress.baseline import kept, read_baseline
from bench.run.session import Options, score
from bench.run.store import metrics_of, read_run
from bench.suite import load_suite

STRENGTHS = (0.05, 0.1, 0.14, 0.16, 0.18, 0.2, 0.3)
METRICS = ["mel_dac_train", "stft_dac", "stoi", "pesq_wb"]
CAUGHT = 0.8


def noisy(source: Path, target: Path, strength: float) -> Path:
    from safetensors.torch import save_file

    tensors, metadata = load_safetensors(source)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if name.startswith("decoder.") and tensor.numel() > 1:
            noise = torch.randn(tensor.shape, generator=generator)
            tensors[name] = (tensor.float() + strength * tensor.float().std() * noise).to(tensor.dtype)
    save_file(tensors, target, metadata)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", help="of more speech than the bundled corpus")
    parser.add_argument("--limit", type=int, default=100, help="utterances of it (default: 100)")
    parser.add_argument("--draws", type=int, default=20, help="random draws for each n (default: 20)")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = resolve("tiny_40hz_649bps", "fixed")
        entries = [{"codec": "fixed", "name": "baseline", "checkpoint": str(source), "points": ["40hz"]}]
        for strength in STRENGTHS:
            damaged = noisy(source, folder / f"{strength}.safetensors", strength)
            entries.append({"codec": "fixed", "name": f"{strength}", "checkpoint": str(damaged), "points": ["40hz"]})
        data = {"manifest": str(Path(arguments.manifest).resolve()), "limit": arguments.limit} if arguments.manifest else "bundled"
        suite = {"name": "power", "datasets": [data], "codecs": entries, "metrics": METRICS}
        (folder / "power.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
        score(load_suite(folder / "power.yaml"), Options(folder / "run", jobs=arguments.jobs), Console())
        records = read_baseline(str(folder / "run")).records
        metrics = metrics_of(read_run(folder / "run")[1])

    by_strength = {label: kept(rows, METRICS) for label, rows in records.groupby("codec")}
    num_utterances = len(by_strength["baseline"])
    sizes = [n for n in (6, 10, 20, 30, 60, 100, 200) if n < num_utterances] + [num_utterances]
    rng = np.random.default_rng(0)
    print("noise  " + "".join(f"n={n:<7d}" for n in sizes) + "change of " + ", ".join(METRICS))
    smallest: dict[int, float] = {}
    for strength in STRENGTHS:
        shares = []
        for n in sizes:
            caught = []
            for _ in range(arguments.draws if n < num_utterances else 1):
                draw = rng.permutation(num_utterances)[:n]
                before, after = (by_strength[label].iloc[draw] for label in ("baseline", f"{strength}"))
                caught.append(not regress(before, after, metrics, speed=False).passed())
            shares.append(float(np.mean(caught)))
            if shares[-1] >= CAUGHT:
                smallest.setdefault(n, strength)
        means = [tuple(float(by_strength[label][metric].mean()) for label in ("baseline", f"{strength}")) for metric in METRICS]
        told = ", ".join(f"{100 * (after / before - 1):+.1f} %" for before, after in means)
        print(f"{strength:<7g}" + "".join(f"{share:<9.2f}" for share in shares) + told, flush=True)
    for n in sizes:
        print(f"n={n}: the smallest noise that is caught is {smallest.get(n, 'above all of these')}")


if __name__ == "__main__":
    main()
