"""A folder with everything that the commands of the pages name, small."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tensorboard.summary.writer.record_writer import RecordWriter
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config import Config
from preprocessing.catalog.datasets import AVE15_CLASSES, AVE_CLASSES, VEGAS_CLASSES
from preprocessing.interchange.tfrecord import SequenceExample
from preprocessing.media.encode import write_clip


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, write_published) -> Path:
    """Videos, published files, feature stores, shards and runs, by the names that pages use."""
    folder = tmp_path_factory.mktemp("prepared")
    _write_videos(folder)
    _write_shards(folder)
    _write_pca(folder / "yt8m_pca")
    few = {"train": 4, "val": 2, "test": 2}
    vegas = len(VEGAS_CLASSES)
    for name, classes, ids in (
        ("ave_feature_norm", AVE_CLASSES, "clip"),
        ("vegas_feature", vegas, "clip"),
        ("ave", AVE_CLASSES, "clip"),
        ("ave15", AVE15_CLASSES, "clip"),
        ("vegas", vegas, "clip"),
        ("monday", ("bell", "drum"), "monday"),
        ("tuesday", ("bell", "drum"), "tuesday"),
    ):
        number = classes if isinstance(classes, int) else len(classes)
        clips = {split: count * number for split, count in few.items()}
        write_published(folder / f"{name}.h5", clips, classes=classes, dims=(128, 1024), ids=ids)
    (folder / "FILE").symlink_to(folder / "ave.h5")
    # So many clips that 1,024 components can be fitted, of several seconds.
    write_published(
        folder / "several.h5",
        {"train": 1050, "val": 30, "test": 75},
        classes=("bell", "dog", "drum"),
        dims=(128, 2048),
        seconds=2,
        ids="clip",
    )
    _run("features", "import", folder / "several.h5", "--out", folder / "features.h5")
    for name in ("monday", "tuesday"):
        (folder / f"of-{name}").mkdir()
        published = (folder / f"{name}.h5").rename(folder / f"of-{name}" / "published.h5")
        _run("features", "import", published, "--out", folder / f"{name}.h5")
    _run("features", "export", folder / "monday.h5", "--layout", "numpy", "--out", folder / "numpy")
    for seed, name in enumerate(("old", "new")):
        (folder / "runs" / name).mkdir(parents=True)
        config = Config(seed=seed, features=folder / "features.h5")
        (folder / "runs" / name / "config.yaml").write_text(config.to_yaml())
    short = ("model.hidden=[16]", "stage1.max_epochs=1", "stage2.max_epochs=0")
    _run(
        *("train", "--features", folder / "monday.h5", "--run", "NAME"),
        *("--runs", folder / "runs", "batch_size=8", *short),
    )
    (folder / "demo").mkdir()
    (folder / "demo" / "features.h5").symlink_to(folder / "monday.h5")
    (folder / "demo" / "videos").symlink_to(folder / "raw")
    _write_arrays(folder / "output")
    (folder / "weights").mkdir()
    for name in ("first", "second"):
        shutil.copytree(folder / "runs" / "NAME", folder / "runs" / name)
    return folder


def _run(*words: object) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output


def _write_videos(folder: Path) -> None:
    """Six short videos as AVE, as VEGAS, in class folders and in a list; no two are equal."""
    draw = np.random.default_rng(0)
    ave: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    rows = ["path,label"]
    for number in range(6):
        label, split = (("Bark", "dog"), ("Clock", "drum"))[number % 2], list(ave)[number // 2]
        video = f"video_____{number}"
        frames = draw.integers(0, 255, (4, 48, 64, 3), dtype=np.uint8)
        sound = draw.normal(0, 0.1, (1, 16_000)).astype(np.float32)
        write_clip(folder / "clip.mp4", list(frames), 4, sound, 16_000)
        content = (folder / "clip.mp4").read_bytes()
        for path in (
            f"AVE/AVE/{video}.mp4",
            f"VEGAS/data/{label[1]}/video_{number:05}.mp4",
            f"raw/{label[1]}/{number}.mp4",
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        ave[split].append(f"{label[0]}&{video}&good&0&1\n")
        rows.append(f"raw/{label[1]}/{number}.mp4,{label[1]}")
    for split, lines in ave.items():
        (folder / "AVE" / f"{split}Set.txt").write_text("".join(lines))
    (folder / "AVE" / "Annotations.txt").write_text("".join(map("".join, ave.values())))
    (folder / "mine.csv").write_text("\n".join(rows))
    splits = ["split", *(split for split in ave for _ in range(2))]
    with_splits = [f"{row},{split}" for row, split in zip(rows, splits, strict=True)]
    (folder / "clips.csv").write_text("\n".join(with_splits))


def _write_arrays(folder: Path) -> None:
    """Two networks' arrays of the six videos, as video_features names them."""
    folder.mkdir()
    for number in range(6):
        for key, width in (("vggish", 128), ("resnet", 24), ("clip", 16)):
            np.save(folder / f"{number}_{key}.npy", np.ones((1, width)))


def _write_shards(folder: Path) -> None:
    """A video-level shard of YouTube-8M with 15 classes of five videos."""
    draw = np.random.default_rng(0)
    with (folder / "validate0000.tfrecord").open("wb") as file:
        shard = RecordWriter(file)
        for number in range(75):
            feature = (example := SequenceExample()).context.feature
            feature["id"].bytes_list.value.append(f"v{number:03}".encode())
            feature["labels"].int64_list.value.append(number % 15)
            feature["mean_rgb"].float_list.value.extend(draw.normal(size=1024))
            feature["mean_audio"].float_list.value.extend(draw.normal(size=128))
            shard.write(example.SerializeToString())
    names = [f"{number},class {number}" for number in range(15)]
    (folder / "vocabulary.csv").write_text("\n".join(["Index,Name", *names]))


def _write_pca(folder: Path) -> None:
    """Matrices in the layout of YouTube-8M's, of one component a feature."""
    folder.mkdir()
    np.save(folder / "mean.npy", np.zeros((2048, 1), np.float32))
    np.save(folder / "eigenvecs.npy", np.eye(2048, dtype=np.float32))
    np.save(folder / "eigenvals.npy", np.ones((2048, 1), np.float32))
