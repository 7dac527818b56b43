"""How long a mask takes to draw, how much memory, how many bits on disk.

    python benchmarks/sampling.py            # all of it, a few minutes on two cores, 6 GB of disk
    python benchmarks/sampling.py --only speed pool size

Four questions, each a section of benchmarks/sampling.json:
speed   one 3072x768 tensor, the paper's m draws (torch.multinomial, the fastest plain way measured)
        against one further candidate of a pool
pool    eight candidates of a BERT-base-shaped model (72 tensors, 85 M weights) drawn, packed and saved
size    bits a weight on disk, and the time to read a BERT-base mask back and apply it
memory  four candidates of random models of three sizes, up to 1.3 billion weights, in processes of
        their own that read safetensors folders; drawn in benchmarks/sampling.svg
Reference and candidate of a ratio are measured in the same run, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from safetensors.torch import save_file

import rpmask
from rpmask.masks.checkpoint import SafetensorsWeights
from rpmask.masks.packed_format import load_mask, save_mask
from rpmask.masks.weights import Prunable, TensorWeights, weights_digest
from rpmask.randomized_masks import paper
from rpmask.randomized_masks.mask_generation import draw_masks
from rpmask.randomized_masks.recipe import stream, votes_of
from rpmask.randomized_masks.vote_sampler import VoteSampler
from rpmask.records import MaskRecipe

SEED = 20_231
RATIOS = paper.SAMPLING_RATIOS
BERT_BASE = (768, 3072, 12)  # width, inner width, layers
LARGE = ((2048, 8192, 7), (2048, 8192, 13), (2048, 8192, 26))
LAYERS_A_FILE = 6
THREADS = 2


def layer_shapes(width: int, inner: int) -> dict[str, tuple[int, int]]:
    return {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
    }


def prunables(width: int, inner: int, layers: int) -> list[Prunable]:
    return [
        Prunable(f"encoder.layer.{layer}.{part}.weight", shape)
        for layer in range(layers)
        for part, shape in layer_shapes(width, inner).items()
    ]


def pool_of(digest: str, size: int, sparsity: float) -> list[MaskRecipe]:
    """A deterministic control and randomized candidates at the paper's settings."""
    return [
        MaskRecipe(
            digest,
            SEED + number,
            sparsity,
            temperature=0.2 if number else 0.0,
            sample_ratio=RATIOS[(number - 1) % len(RATIOS)],
        )
        for number in range(size)
    ]


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def speed() -> Iterator[dict[str, Any]]:
    """One tensor: set-up, a further candidate, and the m draws."""
    torch.set_num_threads(THREADS)
    weight = torch.randn(3072, 768, generator=torch.Generator().manual_seed(SEED)).mul_(0.04)
    scores = weight.abs().reshape(-1).numpy()
    for sparsity in (0.54, 0.9375):
        kept = round(scores.size * (1.0 - sparsity))
        ratio = 1e-4 if sparsity == 0.54 else 5e-5
        recipe = MaskRecipe("", SEED, sparsity, sample_ratio=ratio)
        votes = votes_of(recipe, scores.size, kept)
        sampler = VoteSampler(scores)

        def draw(
            number: int, sampler: VoteSampler = sampler, kept: int = kept, votes: int = votes
        ) -> Any:
            return sampler.draw(kept, 0.2, votes, stream(SEED + number, "tensor"))

        first, _ = timed(lambda draw=draw: draw(0))
        candidates = [timed(lambda n=n, draw=draw: draw(n))[0] for n in range(1, 31)]
        further = statistics.median(candidates)
        reference, tally = timed(lambda kept=kept, votes=votes: draws(scores, kept, votes))
        yield {
            "sparsity": sparsity,
            "draws": votes,
            "first_candidate_s": round(first, 4),
            "further_candidate_s": round(further, 5),
            "further_candidate_max_s": round(max(candidates), 5),
            "reference_s": round(reference, 2),
            "speedup": round(reference / further),
            "reference_votes": int(tally.sum()),
        }


def draws(scores: np.ndarray, kept: int, votes: int) -> torch.Tensor:
    """The paper's votes, draw by draw."""
    chances = torch.from_numpy(scores).double().pow(5.0)
    chances = (chances / chances.sum()).float()
    tally = torch.zeros(scores.size, dtype=torch.int64)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(votes):
        tally[torch.multinomial(chances, kept, replacement=False, generator=generator)] += 1
    return tally


def bert_base() -> tuple[TensorWeights, list[Prunable]]:
    generator = torch.Generator().manual_seed(SEED)
    tensors = prunables(*BERT_BASE)
    weights = {t.name: torch.randn(t.shape, generator=generator).mul_(0.04) for t in tensors}
    return TensorWeights(weights), tensors


def pool() -> Iterator[dict[str, Any]]:
    """Eight masks of 85 million weights, from weights in memory to files on disk."""
    torch.set_num_threads(THREADS)
    source, tensors = bert_base()
    digesting, digest = timed(lambda: weights_digest(source, tensors))
    recipes = pool_of(digest, 8, 0.9375)
    for threads in (1, THREADS):
        drawing, masks = timed(
            lambda threads=threads: draw_masks(recipes, source, tensors, threads=threads)
        )
        with tempfile.TemporaryDirectory() as folder:
            saving, sizes = timed(
                lambda folder=folder, masks=masks: [
                    save_mask(mask, Path(folder) / f"{number}.safetensors", recipe)
                    for number, (mask, recipe) in enumerate(zip(masks, recipes, strict=True))
                ]
            )
        yield {
            "threads": threads,
            "tensors": len(tensors),
            "weights": masks[0].total(),
            "candidates": len(masks),
            "digest_s": round(digesting, 3),
            "draw_and_pack_s": round(drawing, 3),
            "save_s": round(saving, 3),
            "total_s": round(digesting + drawing + saving, 3),
            "bytes": sum(sizes),
            "overlap_with_control": [round(masks[0].overlap(mask), 4) for mask in masks],
        }


def size() -> Iterator[dict[str, Any]]:
    """Bits on disk by sparsity, reading back and applying in place on one thread."""
    torch.set_num_threads(1)
    source, tensors = bert_base()
    digest = weights_digest(source, tensors)
    for sparsity, granularity in (
        (0.5, "weight"),
        (0.54, "weight"),
        (0.83, "weight"),
        (0.9375, "weight"),
        (0.99, "weight"),
        (0.5, "2:4"),
    ):
        recipe = MaskRecipe(digest, SEED, sparsity, granularity=granularity)
        drawing, (mask,) = timed(
            lambda recipe=recipe: draw_masks([recipe], source, tensors, threads=THREADS)
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mask.safetensors"
            written = save_mask(mask, path, recipe)
            reading, back = timed(lambda path=path: load_mask(path))
        assert back == mask
        copies = {tensor.name: source.load(tensor.name).clone() for tensor in tensors}
        applying, _ = timed(
            lambda copies=copies, back=back: [
                copies[name].masked_fill_(back.keep(name).logical_not_(), 0.0)
                for name in back.names
            ]
        )
        entropy = -(sparsity * np.log2(sparsity) + (1 - sparsity) * np.log2(1 - sparsity))
        yield {
            "sparsity": sparsity,
            "granularity": granularity,
            "draw_s": round(drawing, 3),
            "bits_a_weight": round(written * 8 / mask.total(), 4),
            "entropy": round(float(entropy if granularity == "weight" else np.log2(6) / 4), 4),
            "read_s": round(reading, 3),
            "apply_s": round(applying, 3),
        }


def memory() -> Iterator[dict[str, Any]]:
    """Four masks of ever larger models, each in a process whose peak is its own."""
    for width, inner, layers in LARGE:
        folder = Path(tempfile.mkdtemp(prefix="rpmask-benchmark-"))
        try:
            write_model(folder, width, inner, layers)
            found = subprocess.run(
                [
                    sys.executable,
                    __file__,
                    "--child",
                    str(folder),
                    *map(str, (width, inner, layers)),
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            yield json.loads(found.stdout)
        finally:
            shutil.rmtree(folder)


def write_model(folder: Path, width: int, inner: int, layers: int) -> None:
    """A random folder in Hugging Face layout, in float32, a few layers a file."""
    generator = torch.Generator().manual_seed(SEED)
    index: dict[str, str] = {}
    for first in range(0, layers, LAYERS_A_FILE):
        file = f"model-{first:05d}.safetensors"
        weights = {
            f"bert.encoder.layer.{layer}.{part}.weight": torch.randn(
                shape, generator=generator
            ).mul_(0.04)
            for layer in range(first, min(first + LAYERS_A_FILE, layers))
            for part, shape in layer_shapes(width, inner).items()
        }
        save_file(weights, folder / file)
        index.update(dict.fromkeys(weights, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def peak_rss_mb() -> int:
    """Peak resident memory of this process alone; getrusage would count what the parent had."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) // 1024


def child(folder: str, width: int, inner: int, layers: int) -> dict[str, Any]:
    """What one process needs for a pool of four."""
    torch.set_num_threads(1)
    idle = peak_rss_mb()
    source, tensors = SafetensorsWeights(folder), prunables(width, inner, layers)
    digesting, digest = timed(lambda: weights_digest(source, tensors))
    recipes = pool_of(digest, 4, 0.9375)
    drawing, masks = timed(lambda: draw_masks(recipes, source, tensors, threads=THREADS))
    saving, sizes = timed(
        lambda: [
            save_mask(mask, Path(folder) / f"mask{number}", recipe)
            for number, (mask, recipe) in enumerate(zip(masks, recipes, strict=True))
        ]
    )
    return {
        "weights": masks[0].total(),
        "largest_tensor": max(tensor.numel for tensor in tensors),
        "candidates": len(masks),
        "threads": THREADS,
        "digest_s": round(digesting, 2),
        "draw_and_pack_s": round(drawing, 2),
        "save_s": round(saving, 2),
        "total_s": round(digesting + drawing + saving, 2),
        "ns_a_weight": round((digesting + drawing + saving) * 1e9 / masks[0].total(), 2),
        "mask_bytes": sum(sizes),
        "idle_rss_mb": idle,
        "peak_rss_mb": peak_rss_mb(),
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Time and memory over weights: a straight line, and one that hardly rises."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sampling"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3), layout="constrained")
    weights = [row["weights"] / 1e9 for row in rows]
    left.plot(weights, [row["total_s"] for row in rows], "o-")
    left.set(ylabel="seconds", title="four masks: digest, draw, save")
    right.plot(weights, [row["peak_rss_mb"] / 1024 for row in rows], "o-")
    right.set(ylabel="GB", title="peak resident memory")
    for axes in (left, right):
        axes.set(xlabel="billion weights", xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((li.split(": ")[1] for li in lines if li.startswith("model name")), model)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
        "rpmask": rpmask.__version__,
    }


SECTIONS = {"speed": speed, "pool": pool, "size": size, "memory": memory}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time, memory and size of drawing masks.")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        place, *numbers = given.child
        print(json.dumps(child(place, *map(int, numbers))))
        sys.exit()
    report: dict[str, Any] = {
        "command": "python benchmarks/sampling.py",
        "seed": SEED,
        "machine": machine(),
    }
    for section in given.only:
        report[section] = []
        for row in SECTIONS[section]():
            print(section, json.dumps(row), file=sys.stderr, flush=True)
            report[section].append(row)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    if "memory" in report:
        plot(report["memory"], given.out.with_suffix(".svg"))
