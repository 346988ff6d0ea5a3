"""Search: exact against approximate, and where the time of a query goes.

    pip install faiss-cpu usearch
    python benchmarks/search.py vectors [--sizes 10000 100000 1000000] [--queries N]
    python benchmarks/search.py query CLIP [--image PICTURE] [--rounds N] [--threads N]

``vectors``: milliseconds a query for the ten best, one query at a time on one thread, over
synthetic class posteriors of 30 classes (32 dimensions), as embeddings are. The rivals are faiss
and usearch with graphs (HNSW) at their usual settings, faiss's exact index, and a full sort. Recall
is the share of the ten that score as well as the true ten.

``query``: seconds from a file to the ten best of 100,000, networks in memory, and their parts. The
network is untrained, which changes no time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from avcmr.config import ModelConfig
from avcmr.model.class_posterior import posterior_vectors
from avcmr.model.network import TwoBranchNetwork
from avcmr.retrieval.collection import Collection
from avcmr.retrieval.query import QueryExtractor
from avcmr.retrieval.retriever import Retriever
from avcmr.retrieval.top_k import top_k
from preprocessing.clips import NO_FILE, Clip
from preprocessing.media import Sampling, decode_frames, decode_image, decode_waveform
from preprocessing.networks.extractor import Networks
from preprocessing.store import Provenance

CLASSES, TOP = 30, 10

Floats = NDArray[np.float32]
Search = Callable[[Floats], NDArray[np.int64]]
"""A query (D,) → the rows of its ten best."""


def posteriors(items: int, *, seed: int) -> Floats:
    """(items, 32): classes in equal parts, predicted with varying confidence."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (items,), generator=generator)
    logits = 2 * torch.randn(items, CLASSES, generator=generator)
    logits[torch.arange(items), labels] += 8 * torch.rand(items, generator=generator)
    return posterior_vectors(logits.softmax(dim=1), "audio" if seed else "visual").numpy()


def exact(gallery: Floats) -> Search:
    tensor = torch.from_numpy(gallery)
    return lambda query: top_k(torch.from_numpy(query), tensor, TOP)[0].numpy()


def full_sort(gallery: Floats) -> Search:
    return lambda query: np.argsort(-(gallery @ query), kind="stable")[:TOP]


def faiss_flat(gallery: Floats) -> Search:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)
    return lambda query: index.search(query[None], TOP)[1][0]


def faiss_hnsw(gallery: Floats) -> Search:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(gallery.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = 64
    index.add(gallery)
    return lambda query: index.search(query[None], TOP)[1][0]


def usearch_hnsw(gallery: Floats) -> Search:
    from usearch.index import Index

    index = Index(ndim=gallery.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(gallery)), gallery, threads=1)
    return lambda query: index.search(query, TOP, threads=1).keys.astype(np.int64)


RIVALS: dict[str, Callable[[Floats], Search]] = {
    "avcmr, exact": exact,
    "full sort": full_sort,
    "faiss, exact": faiss_flat,
    "faiss, HNSW": faiss_hnsw,
    "usearch, HNSW": usearch_hnsw,
}


def compare(sizes: list[int], count: int) -> None:
    queries = posteriors(count, seed=1)
    for size in sizes:
        gallery = posteriors(size, seed=0)
        tenth = [np.partition(gallery @ query, -TOP)[-TOP] for query in queries]
        ours = 0.0
        print(f"{size:,} vectors of {gallery.shape[1]}")
        for name, build in RIVALS.items():
            started = time.perf_counter()
            try:
                search = build(gallery)
            except ImportError as error:
                print(f"  {name:14} skipped: {error}")
                continue
            building = time.perf_counter() - started
            search(queries[0])
            times, good = [], 0
            for query, least in zip(queries, tenth, strict=True):
                started = time.perf_counter()
                rows = search(query)
                times.append(time.perf_counter() - started)
                good += int((gallery[rows] @ query >= least - 1e-6).sum())
            seconds = statistics.median(times)
            ours = ours or seconds
            print(
                f"  {name:14} {1000 * seconds:8.3f} ms, {seconds / ours:6.2f} × avcmr, "
                f"recall@10 {good / (TOP * count):.3f}, built in {building:.1f} s",
                flush=True,
            )


def collection(size: int) -> Collection:
    ids = tuple(map(str, range(size)))
    nowhere = np.full(size, np.nan)
    return Collection(
        ids=ids,
        labels=("",) * size,
        splits=("",) * size,
        paths=(NO_FILE,) * size,
        starts=nowhere,
        ends=nowhere,
        audio=torch.from_numpy(posteriors(size, seed=1)),
        visual=torch.from_numpy(posteriors(size, seed=0)),
    )


def seconds_of(action: Callable[[], object], rounds: int) -> str:
    """Elapsed and CPU seconds: on a shared machine the latter are more reliable."""
    times, busy = [], []
    for _ in range(rounds):
        started, worked = time.perf_counter(), time.process_time()
        action()
        times.append(time.perf_counter() - started)
        busy.append(time.process_time() - worked)
    spread = f"{min(times):.3f}–{max(times):.3f}"
    return f"{statistics.median(times):.3f} s ({spread}), {statistics.median(busy):.3f} CPU s"


def time_queries(path: Path, image: Path | None, rounds: int) -> None:
    networks, sampling = Networks(untrained_audio=True), Sampling()
    made = Provenance(networks.describe(sampling), networks.origins(), "benchmark")
    extractor = QueryExtractor(Path("features.h5"), made, None, torch.device("cpu"))
    network = TwoBranchNetwork(128, 2048, ModelConfig(), classes=CLASSES).eval()
    retriever = Retriever(collection(100_000), network.requires_grad_(False), extractor)
    started = time.perf_counter()
    retriever.warm_up()
    print(f"networks loaded in {time.perf_counter() - started:.2f} s")
    networks_of, _ = extractor.load()
    clip = Clip("query", path, "")
    frames, waveform = decode_frames(clip, sampling), decode_waveform(clip, sampling)
    print(f"{path.name}: {len(frames)} frames, {len(waveform) / 16_000:.1f} s of sound")
    with tempfile.TemporaryDirectory() as folder:
        if image is None:
            image = Path(folder) / "frame.jpg"
            Image.fromarray(frames[0]).save(image)
        actions: dict[str, Callable[[], object]] = {
            "sound → pictures": lambda: retriever.search(video=path, find="picture"),
            "    decoding": lambda: decode_waveform(clip, sampling),
            "    VGGish": lambda: networks_of.extract_audio(waveform),
            "pictures → sound": lambda: retriever.search(video=path),
            "    decoding ": lambda: decode_frames(clip, sampling),
            "    Inception-v3": lambda: networks_of.extract_visual(frames),
            "image → sound": lambda: retriever.search(image=image),
            "    decoding  ": lambda: decode_image(image),
            "id → pictures": lambda: retriever.search(id="7"),
        }
        for name, action in actions.items():
            action()
            print(f"{name:18} {seconds_of(action, rounds)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    vectors = commands.add_parser("vectors")
    vectors.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    vectors.add_argument("--queries", type=int, default=200)
    query = commands.add_parser("query")
    query.add_argument("clip", type=Path)
    query.add_argument("--image", type=Path)
    query.add_argument("--rounds", type=int, default=7)
    query.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    if options.command == "vectors":
        torch.set_num_threads(1)
        compare(options.sizes, options.queries)
    else:
        torch.set_num_threads(options.threads)
        time_queries(options.clip, options.image, options.rounds)


if __name__ == "__main__":
    main()
