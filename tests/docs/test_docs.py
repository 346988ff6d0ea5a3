"""What the pages promise: every command is right and runs, every error is explained."""

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import typer
from sklearn.cross_decomposition import PLSSVD
from typer.testing import CliRunner

from avcmr.baselines import average_map
from avcmr.cli import app
from avcmr.config import Config
from avcmr.data import PairedFeatures
from avcmr.metrics import expected_chance
from preprocessing.errors import Reason
from preprocessing.extractor import FeatureExtractor
from preprocessing.media import Media, Source
from preprocessing.vggish import untrained_vggish

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCE_FILES = [
    path
    for package in ("avcmr", "preprocessing", "raytasks")
    for path in sorted((ROOT / package).rglob("*.py"))
]

ELSEWHERE = {
    "extract .*s3://": "tests/end_to_end/test_remote_clips.py",
    "extract ": "tests/end_to_end/test_command_line.py",
    "demo-clips ": "tests/end_to_end/test_command_line.py",
    "train .*--address": "tests/end_to_end/test_cluster.py",
    "train --features demo/|evaluate demo/": "tests/end_to_end/test_command_line.py",
    "features import output/": "tests/preprocessing/interchange/test_layouts.py",
    "doctor$": "tests/avcmr/test_doctor.py",
    "weights (get|verify|convert)": "tests/avcmr/test_weights_command.py",
    "search |index .*--features": "tests/avcmr/test_retriever.py",
    "serve ": "tests/avcmr/web/test_server.py",
    "status": "tests/raytasks/test_status.py",
}
"""Commands that start Ray or serve, or need published weights or the net → what runs them."""

OUT = re.compile(r"--out (\S+)")

SHORTER = {
    "train": (
        *("--workers", "1", "batch_size=32", "model.hidden=[16]"),
        *("stage1.max_epochs=1", "stage2.max_epochs=1"),
    ),
    "compare": ("--methods", "random", "--seeds", "1", "--jobs", "1"),
    "reproduce": ("--methods", "random", "--seeds", "1", "--jobs", "1"),
}
"""What is put behind a command, so that it takes no minutes."""


def fenced(page: str, language: str = "") -> list[str]:
    """The blocks of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``avcmr`` of each line that is a command, comments and placeholders gone."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\|?(?=\s)|;", line):
            found = re.match(r"\s*#?\s*(?:\$ )?(?:\.venv/bin/)?avcmr (.*)", part)
            if found:
                words = shlex.split(found[1], comments=True)
                # `ave|ave15` offers a choice; `…`, `...` and what goes to a file are no arguments.
                words = words[: words.index(">")] if ">" in words else words
                yield [word.split("|")[0] for word in words if word not in ("…", "...")]


def documented() -> list[tuple[str, list[str]]]:
    """Every command of the pages, the presets' heads, and the examples of ``--help``."""
    texts = {path.name: "\n".join(fenced(path.read_text())) for path in PAGES}
    texts |= {path.name: path.read_text() for path in sorted((ROOT / "configs").glob("*.yaml"))}
    for path in sorted((ROOT / "avcmr" / "cli").glob("*.py")):
        tree = ast.parse(path.read_text())
        nodes = [tree, *(node for node in tree.body if isinstance(node, ast.FunctionDef))]
        # A row of spaces sets off a remark, which a command of the pages has after a #.
        docs = re.sub(r" {3,}\(.*", "", "\n".join(ast.get_docstring(node) or "" for node in nodes))
        texts[f"cli/{path.name}"] = docs
    return [(name, words) for name, text in texts.items() for words in commands(text)]


@pytest.mark.parametrize(
    ("page", "words"), documented(), ids=lambda one: one if isinstance(one, str) else " ".join(one)
)
def test_every_documented_command_parses(page: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    context = command.make_context("avcmr", [], resilient_parsing=True)
    rest = list(words)
    while hasattr(command, "commands"):
        assert rest, f"{page}: avcmr {' '.join(words)} names no command"
        name = rest.pop(0)
        assert name in command.commands, f"{page}: there is no command {name}"
        command = command.commands[name]
    if "--help" not in rest:
        command.make_context(name, rest, parent=context)  # raises where an option is unknown


def test_commands_are_found() -> None:
    """The test above sees what it should see."""
    text = "$ .venv/bin/avcmr a b  # c\n#   avcmr d \\\n  --e 'f g'\nx avcmr no\navcmr h i|j … > k"
    assert list(commands(text)) == [["a", "b"], ["d", "--e", "f g"], ["h", "i"]]
    pages = {page for page, _ in documented()}
    assert {"README.md", "troubleshooting.md", "ave.yaml", "cli/train.py"} <= pages


def told_elsewhere(words: list[str]) -> str:
    """The test that runs a command; empty if it is run here."""
    text = " ".join(words)
    return next((where for what, where in ELSEWHERE.items() if re.match(what, text)), "")


@pytest.mark.parametrize("page", sorted({page for page, _ in documented()}))
def test_every_documented_command_runs(
    page: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in prepared.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name in ("runs", "configs"):
        source = (ROOT if name == "configs" else prepared) / name
        (tmp_path / name).unlink(missing_ok=True)
        shutil.copytree(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for words in (words for of_page, words in documented() if of_page == page):
        if told_elsewhere(words):
            continue
        for name in OUT.findall(" ".join(words)):  # what is written is not what was prepared
            Path(name).is_symlink() and Path(name).unlink()
        spread = [path for word in words for path in [*map(str, Path().glob(word))] or [word]]
        given = words if "--shards" in words else spread
        result = CliRunner().invoke(app, [*given, *SHORTER.get(words[0], ())])
        differs = words[:2] == ["config", "diff"]
        assert result.exit_code in ((0, 1) if differs else (0,)), (words, result.output)
        assert result.output, words


def test_commands_that_are_run_elsewhere_are() -> None:
    for where in set(ELSEWHERE.values()):
        assert (ROOT / where).is_file()


def template(node: ast.expr) -> str:
    """A message with … for what differs; empty where it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(template(value) or "…" for value in values)
        case ast.BinOp(left=left, right=right):
            return template(left) + template(right)
    return ""


def messages(kind: str) -> Iterator[tuple[str, str]]:
    """Where each error of a kind is raised, and its message."""
    for path in SOURCE_FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[*_, message]) if name == kind:
                    if re.search(r"\w", template(message)):  # else its words are made elsewhere
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", template(message)


def explains(entry: str, message: str) -> bool:
    """Whether all pieces of an entry stand in the message, in this order."""
    position = 0
    for piece in (piece.strip() for piece in entry.split("…")):
        position = message.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return len(re.findall(r"\w", entry)) >= 8


def table_rows(page: Path) -> list[list[str]]:
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


@pytest.mark.parametrize("kind", ["SetupError", "ClipError"])
def test_every_message_has_a_remedy_in_troubleshooting(kind: str) -> None:
    """Add a row with a piece of the new message to docs/troubleshooting.md."""
    rows = table_rows(ROOT / "docs" / "troubleshooting.md")
    explained = [one for row in rows for cell in row[:-1] for one in re.findall(r"`([^`]+)`", cell)]
    found = list(messages(kind))
    assert len(found) > 15
    missing = [
        f"{where}: {message}"
        for where, message in found
        if not any(explains(entry, message) for entry in explained)
    ]
    assert not missing, "\n".join(["not in docs/troubleshooting.md:", *missing])
    assert all(row[-1] for row in rows)


def test_every_reason_has_a_remedy_in_troubleshooting() -> None:
    rows = table_rows(ROOT / "docs" / "troubleshooting.md")
    assert {f"`{reason}`" for reason in get_args(Reason)} <= {row[0] for row in rows}


def python_of(page: str) -> dict[str, Any]:
    """What the first block of Python on a page defines."""
    names: dict[str, Any] = {}
    exec(fenced((ROOT / "docs" / page).read_text(), "python")[0], names)
    return names


def test_the_method_on_its_page_is_one() -> None:
    """As scikit-learn's partial least squares has it, and better than chance on unseen clips."""
    draw = torch.Generator().manual_seed(0)
    centres = 0.6 * torch.randn(3, 5, generator=draw)

    def clips(count: int) -> PairedFeatures:
        labels = torch.arange(count) % 3
        noise = torch.randn(2, count, 5, generator=draw)
        audio, visual = centres[labels] + noise
        return PairedFeatures(tuple(map(str, range(count))), audio, visual, labels)

    train, val, test = clips(120), clips(60), clips(60)
    page = python_of("adding-a-method.md")
    (method,) = page["METHODS"]
    page["DIMENSIONS"] = (2,)
    embedder = method.fit(train, val, Config()).by_cosine
    reference = PLSSVD(n_components=2, scale=False).fit(train.audio.double(), train.visual.double())
    for ours, theirs in zip(
        embedder(test.audio, test.visual),
        reference.transform(test.audio.double(), test.visual.double()),
        strict=True,
    ):
        for k in range(2):  # but for sign and scale
            assert abs(np.corrcoef(ours[:, k], theirs[:, k])[0, 1]) == pytest.approx(1)
    assert average_map(embedder, test) > expected_chance(test.labels) + 0.1


def test_the_network_on_its_page_makes_features() -> None:
    torch.manual_seed(0)
    network = python_of("adding-a-network.md")["MobileNet"]().eval()
    extractor = FeatureExtractor(
        network, untrained_vggish(0), vggish_pca=None, device=torch.device("cpu")
    )
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 80, 3), dtype=np.uint8)
    waveform = np.zeros(16_000, dtype=np.float32)
    source = Source(size=1, mtime=1, codec="h264", fps=25.0)
    (features,) = extractor.extract([Media(frames, np.array([0.5, 1.5]), waveform, 2.0, source)])
    assert features.visual.shape == (2, 576)
    assert features.visual.std() > 0


def test_the_data_set_on_its_page_is_listed(tmp_path: Path) -> None:
    rows = tmp_path / "vggsound.csv"
    rows.write_text('a-_0,30,"dog barking, howling",train\nb,5,playing flute,test\n')
    (tmp_path / "a-_0_000030.mp4").touch()
    listing = python_of("datasets.md")["list_vggsound"](rows, tmp_path)
    assert [(clip.id, clip.label, clip.split) for clip in listing.clips] == [
        ("a-_0_000030", "dog barking, howling", "train")
    ]
    assert [clip.id for clip in listing.missing] == ["b_000005"]
    assert listing.classes == ("dog barking, howling", "playing flute")


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
