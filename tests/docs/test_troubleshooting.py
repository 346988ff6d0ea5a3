"""docs/troubleshooting.md explains every error, and each of its entries is of one error only."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from preprocessing.errors import Reason

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text())
    for package in ("avcmr", "preprocessing", "raytasks")
    for path in sorted((ROOT / package).rglob("*.py"))
}

ARGUMENTS = {
    "UsageError": slice(-1, None),
    "NotFoundError": slice(-1, None),
    "SetupError": slice(-1, None),
    "ClipError": slice(-1, None),
    "NotAStoreError": slice(1, 3),  # what it is, and the remedy
    "DamagedError": slice(1, 2),
    "HTTPException": slice(1, 2),
}
"""What makes an error → which of its arguments the user reads."""

RELAYED = {
    "UsageError": {
        "'\\n'.join(faults)",
        "f\"{path or 'settings'}: {'; '.join(faults)}\"",
    },
    "NotFoundError": {"'; '.join(faults)"},
    "SetupError": {
        "self._no_uploads",
        "f\"{where}: {'; '.join(faults[:5])}{more}{remedy and f'; {remedy}'}\"",
    },
    "ClipError": {
        "error.message.replace(f'{path}: ', '')",
        "outcome.message.replace(str(local.path), str(clip.path))",
        "*fault",
        "f'{path}: {type(error).__name__}: {error}'",
        "f'{path}: {error.strerror or error}'",
        "f'{path}: {error.strerror}'",
        "f'{clip.file}: {video.cpu_fallback}'",
    },
    "NotAStoreError": {"error.detail"},
    "DamagedError": set(),
    "HTTPException": set(),
}
"""Arguments without words of their own: they pass on what is collected elsewhere, or what the
system or a decoder says."""

NOT_OURS = (
    *("Input should be", "Invalid host header", "line …:", "the networks failed"),
    *("are NOT COMPARABLE", "differ in more than their settings"),
)
"""Entries for messages of pydantic and Starlette, for what stands before another message, and for
reasons and warnings that are no errors."""


def template(node: ast.expr) -> str:
    """A message with … for what differs; empty where it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(template(value) or "…" for value in values)
        case ast.BinOp(left=left, right=right):
            return "".join(template(side) or "…" for side in (left, right))
    return ""


def is_message(text: str) -> bool:
    return len(re.findall(r"\w", text)) >= 8


def spoken(tree: ast.AST, maker: str) -> Iterator[tuple[int, ast.expr]]:
    """Line and argument of each call of a maker of errors that the user reads."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=arguments) if name == maker:
                yield from ((node.lineno, one) for one in arguments[ARGUMENTS[maker]])


def refusals(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """What the web server answers without an exception: ``{"detail": …}``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "detail":
                    yield node.lineno, value


def faults(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """What is put into a list ``faults``, out of which one error is made; also by a function."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    def followed(line: int, message: ast.expr) -> Iterator[tuple[int, ast.expr]]:
        match message:
            case ast.Call(func=ast.Name(id=name)) if name in functions:
                for node in ast.walk(functions[name]):
                    if isinstance(node, ast.Return) and node.value:
                        yield from followed(node.lineno, node.value)
            case _:
                yield line, message

    for line, put in _put_into_faults(tree):
        yield from followed(line, put)


def _put_into_faults(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="faults"), attr="append")):
                yield node.lineno, node.args[0]
            case (
                ast.Assign(targets=[ast.Name(id="faults")], value=value)
                | ast.AugAssign(target=ast.Name(id="faults"), value=value)
            ):
                for inner in ast.walk(value):
                    listed = inner.elts if isinstance(inner, ast.List) else []
                    listed = [inner.elt] if isinstance(inner, ast.ListComp) else listed
                    yield from ((node.lineno, one) for one in listed)


def value_errors(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """ValueErrors that become faults: of pydantic's validators, and of what a try block calls
    whose handler gathers them."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    gathered = {
        call.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        and any("faults.append" in ast.unparse(handler) for handler in node.handlers)
        for call in (inner for part in node.body for inner in ast.walk(part))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    for function in functions:
        validates = any("_validator" in ast.unparse(one) for one in function.decorator_list)
        if validates or function.name in gathered:
            for node in ast.walk(function):
                match node:
                    case ast.Raise(exc=ast.Call(func=ast.Name(id="ValueError"), args=[message])):
                        yield node.lineno, message


@cache
def collected() -> dict[str, list[tuple[str, str]]]:
    """How a message is found → where each is made, and its words."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, tree in SOURCES.items():
        kinds = {maker: spoken(tree, maker) for maker in ARGUMENTS}
        kinds |= {"detail": refusals(tree), "fault": faults(tree), "ValueError": value_errors(tree)}
        for kind, arguments in kinds.items():
            for line, argument in arguments:
                text = template(argument)
                if is_message(text):
                    found.setdefault(kind, []).append((f"{path}:{line}", text))
    return found


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def entries() -> list[str]:
    """The messages that the page explains, reason codes left out."""
    explained = [
        one for row in rows() for cell in row[:-1] for one in re.findall("`([^`]+)`", cell)
    ]
    return [one for one in explained if one not in get_args(Reason)]


def explains(entry: str, message: str) -> bool:
    """Whether all pieces of an entry stand in the message, in this order."""
    position = 0
    for piece in entry.split("…"):
        position = message.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return is_message(entry)


@pytest.mark.parametrize(
    ("kind", "at_least"),
    [
        ("UsageError", 25),
        ("NotFoundError", 15),
        ("SetupError", 100),
        ("ClipError", 20),
        ("NotAStoreError", 5),
        ("DamagedError", 2),
        ("HTTPException", 8),
        ("detail", 1),
        ("fault", 10),
        ("ValueError", 15),
    ],
)
def test_every_message_has_a_remedy(kind: str, at_least: int) -> None:
    """Add a row with a piece of the new message to docs/troubleshooting.md."""
    found = collected()[kind]
    assert len(found) >= at_least
    explained = entries()
    missing = [
        f"{where}: {message}"
        for where, message in found
        if not any(explains(entry, message) for entry in explained)
    ]
    assert not missing, "\n".join(["not in docs/troubleshooting.md:", *missing])
    assert all(row[-1] for row in rows())


def test_messages_that_are_made_elsewhere_are_known() -> None:
    """An error without words of its own would escape the test above."""
    for maker in ARGUMENTS:
        wordless = {
            ast.unparse(argument)
            for tree in SOURCES.values()
            for _, argument in spoken(tree, maker)
            if not is_message(template(argument))
        }
        unknown = wordless - RELAYED[maker] - {"remedy"}
        assert not unknown, f"{maker}: name its words, or add to RELAYED: {unknown}"
        assert RELAYED[maker] <= wordless


def meaning(message: str) -> str:
    """What a message says, without what it is about and without its remedy."""
    return message.removeprefix("…: ").partition(";")[0].partition(" (")[0]


@pytest.mark.parametrize("entry", sorted(set(entries())))
def test_every_entry_is_of_one_message(entry: str) -> None:
    """A piece that several messages have in common would explain the next one too, unread."""
    everything = {message for found in collected().values() for _, message in found}
    hit = {message for message in everything if explains(entry, message)}
    if not any(one in entry for one in NOT_OURS):
        assert hit, "no such message any more"
    assert len({meaning(message) for message in hit}) <= 1, hit


def test_every_reason_has_a_remedy() -> None:
    assert {f"`{reason}`" for reason in get_args(Reason)} <= {row[0] for row in rows()}


def test_messages_are_found_in_each_of_their_forms() -> None:
    """The tests above see what they should see."""
    tree = ast.parse(
        """
raise SetupError(f"{path}: no such thing; " "make one")
raise NotAStoreError(path, "is another thing", "take it away")
faults.append(f"row {row} is too long")
faults += [f"{name} is too short" for name in names]
faults += [explain(name) for name in names]
def explain(name):
    return f"{name} is explained"
Refusal({"detail": "asked too often"}, 403)
def parse(row):
    raise ValueError(f"{row} is no row at all")
def api(row):
    raise ValueError("nobody catches this one")
try:
    parse(row)
except ValueError as error:
    faults.append(f"line {number}: {error}")
@field_validator("x")
def check(self):
    raise ValueError("x is not an even number")
"""
    )
    texts = {
        kind: sorted(template(argument) for _, argument in found)
        for kind, found in {
            "SetupError": spoken(tree, "SetupError"),
            "NotAStoreError": spoken(tree, "NotAStoreError"),
            "fault": faults(tree),
            "detail": refusals(tree),
            "ValueError": value_errors(tree),
        }.items()
    }
    assert texts == {
        "SetupError": ["…: no such thing; make one"],
        "NotAStoreError": ["is another thing", "take it away"],
        "fault": ["line …: …", "row … is too long", "… is explained", "… is too short"],
        "detail": ["asked too often"],
        "ValueError": ["x is not an even number", "… is no row at all"],
    }
