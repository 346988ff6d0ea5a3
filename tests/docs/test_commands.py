"""Every command of the pages, presets and ``--help`` is right, and is run: here or by a test."""

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from avcmr.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TESTS = ROOT / "tests"

CLUSTER = "end_to_end/test_cluster.py"
COMMANDS = "end_to_end/test_command_line.py"
MONITORING = "raytasks/monitoring/test_metrics.py"
RETRIEVER = "avcmr/retrieval/test_retriever.py"
WEIGHTS = "avcmr/cli/test_weights.py"

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "demo-clips": (f"{COMMANDS}::workplace",),
    "doctor": ("avcmr/cli/test_doctor.py::TestCommand::test_exit_codes",),
    "extract --videos --out --address": (f"{CLUSTER}::test_all_ways_give_the_same_features",),
    "extract s3 --videos --out": (
        "end_to_end/test_remote_clips.py::test_a_bucket_gives_the_features_of_a_folder",
        "end_to_end/conftest.py::OPTIONS",
    ),
    "train --features --runs --workers --address": (
        f"{CLUSTER}::test_training",
        f"{COMMANDS}::test_train_evaluate_and_both_again",
        "docs/conftest.py::prepared",
    ),
    "index --features": (f"{RETRIEVER}::test_the_commands_on_files",),
    "search --audio": (f"{RETRIEVER}::test_the_commands_on_files",),
    "search --image": (f"{RETRIEVER}::test_the_commands_on_files",),
    "search --image --top --split": (f"{RETRIEVER}::test_the_commands_on_files",),
    "search --video": (f"{RETRIEVER}::test_the_commands_on_files",),
    "search --video --find": (f"{RETRIEVER}::test_the_commands_on_files",),
    "search --id": (f"{RETRIEVER}::test_the_commands",),
    "search --id --class --json": (f"{RETRIEVER}::test_the_commands",),
    "search --id --top --json": (f"{RETRIEVER}::test_the_commands",),
    "serve": ("avcmr/web/test_server.py::test_serve_command",),
    "serve --host": ("avcmr/web/test_server.py::test_serve_command",),
    "serve --port --open": ("avcmr/web/test_server.py::test_serve_command",),
    "status": (
        "raytasks/monitoring/test_metrics.py::test_status_asks_a_cluster_for_what_runs_on_it",
    ),
    "status --address": ("avcmr/cli/test_status.py::test_a_cluster_is_asked_by_its_address",),
    "status --watch": ("avcmr/cli/test_status.py::test_watching_goes_on_until_it_is_interrupted",),
    "weights get": (f"{WEIGHTS}::test_get_and_verify_of_several",),
    "weights get --mirror": (f"{WEIGHTS}::test_list_get_and_verify",),
    "weights get --to": (f"{WEIGHTS}::test_get_and_verify_of_several",),
    "weights get --to --mirror": (f"{WEIGHTS}::test_get_and_verify_of_several",),
    "weights verify": (f"{WEIGHTS}::test_list_get_and_verify",),
    "weights verify --weights": (f"{WEIGHTS}::test_verify_says_what_fails",),
}
"""Commands that start Ray or serve, or need published weights or the net → the tests (or fixtures)
that run them between them."""

OUT = re.compile(r"--out (\S+)")

SHORTER = {
    # The whole of it is run by end_to_end/test_datasets.py and test_command_line.py.
    "extract": ("--untrained-audio", "--dry-run", "--out", "planned.h5"),
    "train": (
        *("--workers", "1", "batch_size=32", "model.hidden=[16]"),
        *("stage1.max_epochs=1", "stage2.max_epochs=1"),
    ),
    "compare": ("--methods", "random", "--seeds", "1", "--jobs", "1"),
    "reproduce": ("--methods", "random", "--seeds", "1", "--jobs", "1"),
}
"""What is put behind a command, so that it takes no minutes."""


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
    fence = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    texts = {path.name: "\n".join(fence.findall(path.read_text())) for path in PAGES}
    texts |= {path.name: path.read_text() for path in sorted((ROOT / "configs").glob("*.yaml"))}
    for path in sorted((ROOT / "avcmr" / "cli").glob("*.py")):
        tree = ast.parse(path.read_text())
        nodes = [tree, *(node for node in tree.body if isinstance(node, ast.FunctionDef))]
        # A row of spaces sets off a remark, which a command of the pages has after a #.
        docs = re.sub(r" {3,}\(.*", "", "\n".join(ast.get_docstring(node) or "" for node in nodes))
        texts[f"cli/{path.name}"] = docs
    return [(name, words) for name, text in texts.items() for words in commands(text)]


def mentioned() -> list[tuple[str, list[str]]]:
    """Every command that stands in the middle of a sentence, whole or in part."""
    found = []
    for path in PAGES:
        text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for command in re.findall(r"`(?:\.venv/bin/)?(avcmr [^`]+)`", text.replace("\n", " ")):
            found += [(path.name, words) for words in commands(command.partition("…")[0])]
    return found


@cache
def root() -> tuple[Any, typer.Context]:
    command: Any = typer.main.get_command(app)
    return command, command.make_context("avcmr", [], resilient_parsing=True)


def resolved(page: str, words: list[str]) -> tuple[Any, typer.Context, list[str]]:
    """The command that some words name, and the words behind its name."""
    command, context = root()
    rest = list(words)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        assert name in command.commands, f"{page}: avcmr {' '.join(words)}: there is no {name}"
        command = command.commands[name]
    return command, context, rest


def shape(words: list[str]) -> str:
    """A command without what users choose: its names, options, and whether it reads a bucket."""
    command, _, rest = resolved("", words)
    names = words[: len(words) - len(rest)]
    remote = ["s3"] if any(word.startswith("s3://") for word in rest) else []
    known = {option for parameter in command.params for option in parameter.opts}
    return " ".join([*names, *remote, *(word for word in rest if word in known - {*names})])


def as_text(one: object) -> str:
    return one if isinstance(one, str) else " ".join(one)  # type: ignore[arg-type]


@pytest.mark.parametrize(("page", "words"), documented(), ids=as_text)
def test_every_documented_command_parses(page: str, words: list[str]) -> None:
    command, context, rest = resolved(page, words)
    assert not hasattr(command, "commands"), f"{page}: avcmr {' '.join(words)} names no command"
    if "--help" not in rest:
        command.make_context(words[-1], rest, parent=context)  # raises where an option is unknown


@pytest.mark.parametrize(("page", "words"), mentioned(), ids=as_text)
def test_every_mentioned_command_has_its_options(page: str, words: list[str]) -> None:
    command, _, rest = resolved(page, words)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    assert not unknown, f"{page}: avcmr {' '.join(words)}"


def test_commands_are_found() -> None:
    """The tests above see what they should see."""
    text = "$ .venv/bin/avcmr a b  # c\n#   avcmr d \\\n  --e 'f g'\nx avcmr no\navcmr h i|j … > k"
    assert list(commands(text)) == [["a", "b"], ["d", "--e", "f g"], ["h", "i"]]
    pages = {page for page, _ in documented()}
    assert {"README.md", "troubleshooting.md", "ave.yaml", "cli/train.py"} <= pages
    assert ("README.md", ["report", "runs/A", "runs/B"]) in mentioned()
    assert shape(["search", "runs/x", "--id", "dog/1", "--json"]) == "search --id --json"
    assert shape(["extract", "--videos", "s3://b/raw"]) == "extract s3 --videos"


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({page for page, _ in documented()}))
def test_every_documented_command_runs(
    page: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in prepared.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name in ("runs", "configs", "demo"):  # which commands write to
        source = (ROOT if name == "configs" else prepared) / name
        (tmp_path / name).unlink(missing_ok=True)
        shutil.copytree(source, tmp_path / name, symlinks=True)
    monkeypatch.chdir(tmp_path)
    for words in (words for of_page, words in documented() if of_page == page):
        if shape(words) in ELSEWHERE:
            continue
        for name in OUT.findall(" ".join(words)):  # what is written is not what was prepared
            if words[0] != "extract" and Path(name).is_symlink():
                Path(name).unlink()
        spread = [path for word in words for path in [*map(str, Path().glob(word))] or [word]]
        given = words if "--shards" in words else spread
        result = CliRunner().invoke(app, [*given, *SHORTER.get(words[0], ())])
        differs = words[:2] == ["config", "diff"]
        assert result.exit_code in ((0, 1) if differs else (0,)), (words, result.output)
        assert result.output, words


@cache
def documented_shapes() -> set[str]:
    return {shape(words) for _, words in documented()}


@cache
def named(path: Path) -> dict[str, ast.AST]:
    """Functions, fixtures and constants of a file of tests; methods as ``Class::name``."""
    found: dict[str, ast.AST] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ClassDef(name=owner, body=body):
                methods = [one for one in body if isinstance(one, ast.FunctionDef)]
                found |= {f"{owner}::{one.name}": one for one in methods}
            case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                found.setdefault(name, node)
    return found


def texts_of(test: str) -> set[str]:
    """All words that a test says, or what it calls or uses in its file."""
    file, _, name = test.partition("::")
    known = named(TESTS / file)
    waiting, seen, words = {name}, set(), set()
    while waiting:
        seen.add(name := waiting.pop())
        for node in ast.walk(known[name]):
            match node:
                case ast.Constant(value=str(text)):
                    words.update(text.split())
                case ast.Name(id=used) | ast.Attribute(attr=used) | ast.arg(arg=used):
                    if used in known and used not in seen:
                        waiting.add(used)
    return words


@pytest.mark.parametrize("command", sorted(ELSEWHERE))
def test_commands_that_are_run_elsewhere_are(command: str) -> None:
    """The tests that are named have the command's very words, and some page has the command."""
    said = {word for test in ELSEWHERE[command] for word in texts_of(test)}
    for word in command.split():
        assert word in said or (word == "s3" and any(one.startswith("s3://") for one in said)), word
    assert command in documented_shapes()
