"""What `--frames key` saves and what it costs, against the frames that a player shows.

    python benchmarks/key_frames.py CLIPS...      (folders of classes, or files)

CPU time of decoding, how far the key frames are from the sampled times, and how much the features
suffer: cosine of a clip's mean pool3 in both modes, and how often a clip's nearest other clip
(centred cosine) is of the same class, that is, lies in the same folder.
"""

import argparse
import time
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

from media_files import media_files
from preprocessing.clips import Clip
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.media.sampling import nearest
from preprocessing.media.types import Media
from preprocessing.networks.extractor import FeatureExtractor, Networks

MODES = {"as shown": Sampling(), "key frames": Sampling(key_frames=True)}


def distances(path: Path, media: Media) -> NDArray[np.float64]:
    """Seconds from each sampled time to the nearest key frame."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        stamps = {
            packet.pts * packet.time_base: packet.is_keyframe
            for packet in container.demux(video)
            if packet.pts is not None
        }
        first = min(stamps)
        keys = np.array([float(s - first) for s, is_key in sorted(stamps.items()) if is_key])
    return np.abs(keys[nearest(keys, media.frame_times)] - media.frame_times)


def same_class(means: NDArray[np.float32], labels: list[str]) -> float:
    """Leave-one-out accuracy of the nearest neighbour."""
    centred = means - means.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    similarity = centred @ centred.T
    np.fill_diagonal(similarity, -np.inf)
    found = [labels[row] for row in similarity.argmax(axis=1)]
    return float(np.mean([mine == theirs for mine, theirs in zip(labels, found, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    paths = media_files(parser.parse_args().clips)
    torch.set_num_threads(1)
    decoder = PyAVDecoder()
    extractor = FeatureExtractor.load(Networks(untrained_audio=True))
    spent = dict.fromkeys(MODES, 0.0)
    means: dict[str, list[NDArray[np.float32]]] = {name: [] for name in MODES}
    off: list[NDArray[np.float64]] = []
    for path in paths:
        for name, sampling in MODES.items():
            before = time.process_time()
            media = decoder.decode(Clip("clip", path, "label"), sampling)
            spent[name] += time.process_time() - before
            means[name].append(extractor.extract([media])[0].visual.mean(axis=0))
        off.append(distances(path, media))
    shown, key = (np.stack(means[name]) for name in MODES)
    cosines = (shown * key).sum(axis=1) / np.linalg.norm(shown, axis=1)
    cosines /= np.linalg.norm(key, axis=1)
    seconds = np.concatenate(off)
    labels = [path.parent.name for path in paths]
    print(f"{len(paths)} clips; decoding, sound included: {spent} CPU s")
    print(f"key frames are {spent['as shown'] / spent['key frames']:.2f} times faster to decode")
    print(f"off by {np.median(seconds):.2f} s (median), {np.quantile(seconds, 0.9):.2f} s (90 %)")
    print(f"cosine of means: {np.median(cosines):.3f} (median), {np.quantile(cosines, 0.1):.3f}")
    print(
        f"same class: {same_class(shown, labels):.2f} as shown, {same_class(key, labels):.2f} key"
    )


if __name__ == "__main__":
    main()
