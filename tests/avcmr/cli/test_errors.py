"""Errors are reported in a line or two, with exit code 2 and no traceback."""

import errno
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avcmr.cli import app
from preprocessing.errors import ClipError, NotFoundError, SetupError, UsageError

ERRORS = {
    "UsageError": (UsageError("give one query"), "error: give one query\n"),
    "NotFoundError": (NotFoundError("no clip 'x'"), "error: no clip 'x'\n"),
    "SetupError": (SetupError("no weights here"), "error: no weights here\n"),
    "ClipError": (ClipError("empty", "a.wav: no bytes"), "error: a.wav: no bytes\n"),
    "OSError": (
        OSError(errno.EACCES, os.strerror(errno.EACCES), "index.h5"),
        "error: index.h5: Permission denied; change its permissions, or use another path\n",
    ),
    "of two files": (
        OSError(errno.EISDIR, os.strerror(errno.EISDIR), "a.csv.new", None, "a.csv"),
        "error: a.csv: Is a directory; a folder is where a file is needed: check the path\n",
    ),
    "without a file": (OSError("truncated file"), "error: truncated file\n"),
    "without words": (ConnectionResetError(), "error: ConnectionResetError\n"),
}


@pytest.fixture(params=ERRORS.values(), ids=ERRORS.keys())
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every search fails; the line that should be printed."""
    error, line = request.param

    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr("avcmr.training.run_folder.RunFolder.config", fail)
    return str(line)


def test_every_kind_of_error_is_one_line(failing: str) -> None:
    done = CliRunner().invoke(app, ["search", "run", "--id", "x"])
    assert (done.exit_code, done.stderr, done.stdout) == (2, failing, "")


@pytest.mark.parametrize("option", [True, False])
def test_debugging_shows_the_traceback_too(failing: str, option: bool) -> None:
    arguments = ["search", "run", "--id", "x"]
    done = CliRunner().invoke(
        app,
        ["--debug", *arguments] if option else arguments,
        env={} if option else {"AVCMR_DEBUG": "1"},
    )
    assert done.exit_code == 2
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert "in fail" in done.stderr and done.stderr.endswith(failing)


def test_an_interrupted_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("avcmr.training.run_folder.RunFolder.config", interrupt)
    done = CliRunner().invoke(app, ["search", "run", "--id", "x"])
    assert done.exit_code == 130 and "the same command" in done.stderr


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 40 GiB.\nmore")]
)
def test_want_of_memory_is_said(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr("avcmr.training.run_folder.RunFolder.config", fail)
    done = CliRunner().invoke(app, ["search", "run", "--id", "x"])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: not enough memory") and done.stderr.count("\n") == 1


def test_faults_of_avcmr_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("avcmr.training.run_folder.RunFolder.config", fail)
    done = CliRunner().invoke(app, ["search", "run", "--id", "x"])
    assert isinstance(done.exception, RuntimeError)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, write_published: Callable[..., object]) -> Path:
    """A newcomer's folder: some features, and much that is not what commands want."""
    place = tmp_path_factory.mktemp("a newcomer's Ordner ü")
    write_published(
        place / "a.h5", {"train": 12, "val": 4, "test": 4}, classes=("dog", "cat"), ids="c"
    )
    for name, data in {
        "empty.h5": b"",
        "text.h5": b"hello",
        "empty.csv": b"",
        "latin.txt": b"\xf6\n",
        "no ids.txt": b"\n\n",
        "ids.txt": b"c-train-0\n\nnope\n",
        "clips.csv": b"path,label\nraw/dog/a.mp4,dog\n",
        "bad.yaml": b"a: [1\n",
        "list.yaml": b"- 1\n",
        "loose/a.mp4": b"x",
        "raw/dog/a.mp4": b"x",
        "raw/cat/notes.txt": b"x",
        "no run/config.yaml": b"seed: 0\n",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    (place / "empty").mkdir()
    CliRunner().invoke(
        app, ["features", "import", str(place / "a.h5"), "--out", str(place / "store.h5")]
    )
    return place


MISUSE = """
extract                                             : give either --videos FOLDER or --manifest
extract --videos nope                               : nope: no such folder; --videos wants
extract --videos empty                              : empty: no videos found; expected
extract --videos loose                              : a.mp4: a video outside any class folder
extract --videos clips.csv                          : clips.csv: a file, not a folder; .* --manifest
extract --videos raw --manifest clips.csv           : give either --videos FOLDER or --manifest
extract --videos ftp://nope/raw                     : take one of http://
extract --manifest nope.csv                         : nope.csv: no such manifest file
extract --manifest raw                              : raw: a folder, where a manifest file is wanted
extract --manifest empty.csv                        : no column label and path
extract --manifest a.h5                             : a.h5: binary, not the text of a manifest
extract --videos raw --fps 0                        : '--fps'
extract --videos raw --fps nan                      : '--fps'
extract --videos raw --clip-timeout 0               : '--clip-timeout'
extract --videos raw --clip-timeout inf             : '--clip-timeout'
extract --videos raw --decoder ffmpeg               : '--decoder'.*'pyav', 'decord'
extract --videos raw --weights nope                 : nope is not a folder
dataset folder nope                                 : nope: no such folder of videos
dataset folder clips.csv                            : clips.csv: no such folder of videos
dataset folder raw --out empty                      : empty: is a folder; --out wants a file
dataset folder raw --out text.h5/clips.csv          : text.h5: .*a file is where a folder is needed
dataset folder raw --val nan                        : '--val'
dataset folder raw --val 0.5 --test 0.5             : leave nothing to train on
dataset folder raw --seed=-1                        : '--seed'
dataset csv raw                                     : raw: a folder, where a manifest file
dataset csv latin.txt                               : line 1: byte f6.*iconv -f CP1252
dataset csv clips.csv --out clips.csv               : is the list itself
dataset ave --annotations clips.csv --videos raw    : line 1: 1 fields, not class&video
dataset ave --annotations raw --videos clips.csv    : no such annotation file; .*no such folder
dataset vegas --videos loose                        : a.mp4 is of no class; .*one of baby_cry
dataset vegas --videos raw --fold 6                 : '--fold'
dataset vegas --videos raw --seed=-1                : '--seed'
dataset yt8m --shards nope --vocabulary clips.csv   : no file fits --shards nope
dataset yt8m --shards a.h5 --vocabulary raw         : raw: a folder, where a vocabulary is wanted
dataset yt8m --shards a.h5 --vocabulary a --seed=-1 : '--seed'
features info nope.h5                               : no feature store at nope.h5; make one
features info empty.h5                              : not an avcmr feature store .not an HDF5 file
features info raw                                   : a folder.; .*avcmr extract --videos raw
features validate text.h5 --visual-key x            : has labels and splits of its own
features import raw --out x.h5                      : neither HDF5 with audio_train
features import a.h5 --out store.h5                 : store.h5: exists already
features import a.h5 --out text.h5/x.h5             : cannot write .*Not a directory
features export a.h5 --out x.h5                     : avcmr features import a.h5
features export store.h5 --out text.h5/x.h5         : a file is where a folder is needed
features export store.h5 --out x.h5 --layout mat    : '--layout'.*'split', 'flat', 'numpy'
features merge store.h5 nope.h5 --out x.h5          : no feature store at nope.h5
features subset store.h5 --out x.h5 --class Dog     : no class Dog; there are dog, cat
features subset store.h5 --out x.h5 --split valid   : no split valid; there are train, val, test
features subset store.h5 --out x.h5 --ids nope.txt  : nope.txt: no such list of ids
features subset store.h5 --out x.h5 --ids latin.txt : latin.txt: not UTF-8 text
features subset store.h5 --out x.h5 --ids ids.txt   : no clip nope; there are c-train-0
features subset store.h5 --out x.h5 --ids 'no ids.txt' : no ids.txt: lists no ids
features subset store.h5 --out x.h5 --per-class 0   : '--per-class'
train                                               : give --features FILE
train --features raw                                : a folder.; .*avcmr extract --videos raw
train --features a.h5 --config aev : no preset aev; did you mean ave. there are: ave
train --features a.h5 --config bad.yaml             : bad.yaml: not a YAML file
train --features a.h5 --config list.yaml            : found a list
train --features a.h5 --workers 0                   : '--workers'
train --features a.h5 --unit second --cpu           : has one row a clip
train --features a.h5 batch_size=-1                 : batch_size: .*greater than or equal to 2
train --features a.h5 seed=-1                       : seed: .*greater than or equal to 0
train --features a.h5 seed=99999999999999999999     : seed: .*less than 4294967296
train --features a.h5 data.split_seed=-1            : data.split_seed
train --features a.h5 stage1.learning_rate=inf      : learning_rate: .*finite
train --features a.h5 stage1.learning_rate=nan      : learning_rate: .*finite
train --features a.h5 stage1.learning_rate=1e30 --cpu --run q : training diverged.*; lower
train --features a.h5 model.hidden=[9999999999] --cpu --run r : not enough memory .*model.hidden
train --features a.h5 stage1.margn=1                : did you mean stage1.margin
train --features a.h5 stage1.mining=hrd             : one of semi_hard, hard
train --features a.h5 data.classes=[dog,cow] : no class cow .data.classes.; there are dog, cat
train --features a.h5 --runs text.h5 --cpu          : Not a directory; a file is where a folder
train a.h5                                          : settings are given as key=value
evaluate nope                                       : nope: not a run folder
evaluate a.h5                                       : a.h5: not a run folder
evaluate 'no run'                                   : no such checkpoint; train the run first
report 'no run' --out empty                         : empty: is a folder; --out wants a file
index a.h5                                          : a.h5: not a run folder
search nope --id x                                  : nope: not a run folder
search 'no run' --id x --top 0                      : '--top'
serve 'no run' --port 99999                         : '--port'
serve 'no run' --host nowhere.invalid               : --host nowhere.invalid: no address of this
compare --features a.h5 --methods unicorn           : no method 'unicorn'. There are: all, random
compare --features a.h5 --methods cca --out text.h5/x : a file is where a folder is needed
compare --features a.h5 --seeds 0                   : '--seeds'
compare --features a.h5 --jobs 0                    : '--jobs'
reproduce avee --features a.h5                      : 'ave', 'ave15', 'vegas'
reproduce ave --features a.h5                       : 2 classes, where this data set has 28
demo-clips text.h5                                  : a file is where a folder is needed
demo-clips x --seed=-1                              : '--seed'
weights get unicorn                                 : no weights unicorn; there are: inception
weights get vggish --to text.h5                     : --to text.h5: is a file
weights get vggish --mirror foo                     : --mirror foo: not a URL
config show --config raw                            : no preset raw; there are: ave
config diff ave nope                                : no preset nope; there are: ave
"""
"""A command, and what it answers."""


@pytest.mark.parametrize("line", MISUSE.strip().splitlines())
def test_misuse_is_answered_in_a_few_lines(
    place: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    command, _, wanted = line.partition(" : ")
    monkeypatch.chdir(place)
    before = set(place.rglob("*"))
    done = CliRunner().invoke(app, shlex.split(command), env={"COLUMNS": "400", "NO_COLOR": "1"})
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    errors = done.stderr.split("error: ")[1:] or [done.stderr]
    assert len(errors) == 1
    assert re.search(wanted.strip(), errors[0])
    assert errors[0].count("\n") <= 1 or "Usage: avcmr" in errors[0]
    made = {path for path in place.rglob("*") if "runs" not in path.relative_to(place).parts}
    assert made <= before, "a command that fails leaves nothing behind"
