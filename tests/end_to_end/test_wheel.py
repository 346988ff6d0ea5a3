"""What is built and installed is whole, and works outside the checkout."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = ("avcmr", "preprocessing", "raytasks")

OPTIONAL = {"hdf5plugin", "torchcodec"}
"""Imported where they are installed."""


SERVE = """
import re
from pathlib import Path
import numpy, torch
from fastapi.testclient import TestClient
from avcmr import Retriever
from avcmr.retrieval.collection import Collection
from avcmr.web import create_app

class Networks:
    def load(self): pass

nan, one = numpy.array([numpy.nan]), torch.ones(1, 2)
collection = Collection(("a",), ("b",), ("",), (Path(),), nan, nan, one, one)
with TestClient(create_app(Retriever(collection, None, Networks()))) as client:
    page = client.get("/")
    print(page.status_code, page.headers["Content-Type"])
    files = re.findall(r'"/page/([^"]+)"', page.text)
    files += re.findall(r'from "[.]/([^"]+)"', client.get("/page/main.js").text)
    for file in files:
        print(client.get(f"/page/{file}").status_code, file)
"""
"""Serves a collection of one clip, and asks for the page and all that it loads."""


def pip(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    if "hatchling" in built.stderr and "No matching distribution" in built.stderr:
        pytest.skip("building needs hatchling, and no package index is to be reached")
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def of_checkout() -> set[str]:
    """Every file of the packages, and the presets, as they are to lie in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES, "configs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("the files of a checkout are listed by git")
    names = [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    return {f"avcmr/{name}" if name.startswith("configs/") else name for name in names}


def test_the_wheel_holds_every_file_and_no_other(wheel) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = of_checkout()
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert {"avcmr/configs/demo.yaml", "avcmr/evaluation/report/report.html.j2"} <= expected
    assert names == expected


def test_what_is_installed_works(wheel, tmp_path) -> None:
    site = tmp_path / "site"
    installed = pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    assert installed.returncode == 0, installed.stderr
    environment = os.environ | {"PYTHONPATH": str(site)}

    def run(*command: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(
        "-c",
        "import avcmr, preprocessing, raytasks\n"
        "from importlib.metadata import version\n"
        "from avcmr import Retriever\n"
        "from preprocessing import extract_clip\n"
        "for package in (avcmr, preprocessing, raytasks): print(package.__file__)\n"
        "print(Retriever.__name__, extract_clip.__name__, version('avcmr'))\n",
    ).split()
    assert all(Path(path).is_relative_to(site) for path in where[:3])
    assert where[3:] == ["Retriever", "extract_clip", "0.1.0"]
    presets = run(site / "bin" / "avcmr", "config", "presets")
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} <= set(presets.split())
    assert "stage2" in run(site / "bin" / "avcmr", "config", "show", "--config", "demo")
    served = run("-c", SERVE).splitlines()
    assert served[0].startswith("200 text/html")
    assert len(served) > 5
    assert all(line.startswith("200 ") for line in served), served


def imported() -> set[str]:
    """Top-level modules that the packages import, wherever in their files."""
    names = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names - {*PACKAGES, *sys.stdlib_module_names}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_all_that_is_imported_is_depended_on() -> None:
    """So that a clean environment, into which the wheel alone is installed, has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [one for group in project["optional-dependencies"].values() for one in group]
    needed = {canonical(Requirement(one).name) for one in project["dependencies"]}
    known = needed | {canonical(Requirement(one).name) for one in extras}
    provided = packages_distributions()
    for module in sorted(imported()):
        of = {canonical(name) for name in provided.get(module, [module])}
        assert of & (known if module in OPTIONAL else needed), f"{module} ({of})"
