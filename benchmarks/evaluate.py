"""Time and memory of MAP on VEGAS's test split, against the loop of published scripts.

    python benchmarks/evaluate.py [--rounds N] [--queries N] [--large N] [--threads N]

The baseline is the loop that cross-modal papers publish (``fx_calc_map_label`` of ACMR, DSCMR and
many after them): SciPy's distances, ``argsort``, and for each query a Python loop over the ranks
that compares labels and sums precision. Its time is extrapolated from a sample of the queries, on
which both must agree to 1e-6. A second baseline replaces the inner loop by NumPy's cumulative sums.
Loops use one thread; avcmr is timed with one and with all. Memory is measured with more and more
queries against a large gallery: it should not grow, as queries are ranked in chunks.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.metrics.metrics import map_both_ways, mean_average_precision

ITEMS, CLASSES, DIM = 5_621, 10, 32

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Loop = Callable[[Integers, int, Integers], float]


def embeddings(items: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (items,), generator=generator)
    centres = torch.randn(CLASSES, DIM, generator=generator)[labels]
    audio, visual = (
        normalize(centres + 2 * torch.randn(items, DIM, generator=generator), dim=1)
        for _ in range(2)
    )
    return audio, visual, labels


def published_loop(order: Integers, query: int, labels: Integers) -> float:
    """AP of one query, rank by rank, as published."""
    total = hits = 0.0
    for rank in range(len(order)):
        if labels[query] == labels[order[rank]]:
            hits += 1
            total += hits / (rank + 1)
    return total / hits


def numpy_loop(order: Integers, query: int, labels: Integers) -> float:
    """AP of one query by cumulative sums."""
    relevant = labels[order] == labels[query]
    precision = np.cumsum(relevant) / np.arange(1, len(labels) + 1)
    return float(precision[relevant].mean())


def looped(loop: Loop, queries: Floats, rows: Integers, gallery: Floats, labels: Integers) -> float:
    """MAP of the queries of these rows, by a loop."""
    order = cdist(queries, gallery, "cosine").argsort()
    return float(np.mean([loop(order[i], row, labels) for i, row in enumerate(rows)]))


def speed(rounds: int, queries: int, threads: int) -> None:
    audio, visual, labels = embeddings(ITEMS)
    ways, classes = ((audio, visual), (visual, audio)), labels.numpy()
    sample = np.random.default_rng(0).choice(ITEMS, queries, replace=False)
    one, all_ = "avcmr, CPU time of 1 thread", f"avcmr, wall time of {threads} threads"
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, count, clock in ((one, 1, time.process_time), (all_, threads, time.perf_counter)):
            torch.set_num_threads(count)
            started = clock()
            value = map_both_ways(audio, visual, labels).average
            times.setdefault(name, []).append(clock() - started)
        for loop in (published_loop, numpy_loop):
            spent = 0.0
            for query, gallery in ways:
                arrays = query[sample].double().numpy(), gallery.double().numpy()
                started = time.process_time()
                found = looped(loop, arrays[0], sample, arrays[1], classes)
                spent += (time.process_time() - started) * ITEMS / queries
                mine = mean_average_precision(query[sample], gallery, labels[sample], labels)
                assert abs(found - mine) < 1e-6, (found, mine)
            times.setdefault(loop.__name__, []).append(spent)
    print(f"{ITEMS:,} × {ITEMS:,} both ways, MAP {value:.4f}; the loops' CPU time is that of")
    print(f"{queries} queries × {ITEMS / queries:.1f}")
    for own in (one, all_):
        print(f"  {own}: {statistics.median(times[own]):.2f} s")
        for name in ("published_loop", "numpy_loop"):
            ratios = [loop / mine for loop, mine in zip(times[name], times[own], strict=True)]
            ratio, spread = statistics.median(ratios), f"{min(ratios):.1f}–{max(ratios):.1f}"
            print(
                f"    {name}: {statistics.median(times[name]):.1f} s, "
                f"{ratio:.1f} times that ({spread})"
            )


def memory(items: int) -> None:
    """Peak memory of a growing number of queries against one gallery."""
    audio, visual, labels = embeddings(items)
    for queries in (10, 100, 1000):
        started = time.perf_counter()
        mean_average_precision(audio[:queries], visual, labels[:queries], labels)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{queries:,} of {items:,} queries × {items:,}: peak memory {peak} MiB, "
            f"{time.perf_counter() - started:.1f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--queries", type=int, default=200, help="sample on which the loops are timed"
    )
    parser.add_argument(
        "--large", type=int, default=100_000, help="gallery size of the memory test"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    memory(arguments.large)
    speed(arguments.rounds, arguments.queries, arguments.threads)


if __name__ == "__main__":
    main()
