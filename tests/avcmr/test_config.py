"""Settings: precedence, refusals and their wording."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from pydantic import BaseModel
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config import STAGES, Config, HardStage, ModelConfig, SmoothHardStage, Stage
from avcmr.config_files import differences, load_config, presets
from preprocessing.errors import NotFoundError, UsageError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_load_and_open_with_commands(path: Path) -> None:
    load_config(path)
    assert "avcmr train --features" in path.read_text().split("\n\n")[0]


def test_the_command_line_beats_the_file_beats_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("batch_size: 128\nstage1: {margin: 0.4}\nstage2: {patience: 3}\n")
    config = load_config(path, ["stage1.margin=0.5", "stage1.learning_rate=1e-4"])
    assert (config.batch_size, config.stage1.margin, config.stage2.patience) == (128, 0.5, 3)
    assert config.stage1.learning_rate == 1e-4
    assert config.seed == Config().seed


def test_yaml_round_trip(tmp_path: Path) -> None:
    config = load_config(None, ["model.hidden=[64,32]", "stage2.mining=semi_hard"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path) == config


def test_all_faults_are_named_at_once_with_the_nearest_key() -> None:
    with pytest.raises(UsageError) as error:
        load_config(None, ["stage1.margn=0.3", "batch_sizes=4", "stage2.members=-1"])
    message = str(error.value)
    assert "unknown key stage1.margn; did you mean stage1.margin?" in message
    assert "unknown key batch_sizes; did you mean batch_size?" in message
    assert "stage2.members: Input should be greater than or equal to 1 (given: -1)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: [1,", "not a YAML file"),
        ("- 1\n- 2\n", "found a list"),
        ("\x00", "not a YAML file"),
        ("seed: 1\n? [a, b]\n: 1", "line 2 has a list or a section where a key should be"),
        ("? {a: b}\n: 1", "line 1 has a list or a section"),
        ("!!map [a]", "not a YAML file"),
        ("seed: 2020-13-45", "month must be in"),  # PyYAML's own error is no YAMLError
        ("[" * 3000, "not a YAML file"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=wanted):
        load_config(path)


def test_missing_file_and_malformed_override() -> None:
    with pytest.raises(NotFoundError, match="cannot read the config file"):
        load_config(Path("nowhere.yaml"))
    for override in ("margin", "=3", "seed.x=3"):
        with pytest.raises(UsageError):
            load_config(None, ["seed=1", override])


def test_batches_of_one_class_are_refused() -> None:
    with pytest.raises(UsageError, match=r"classes_per_batch: .*no negatives"):
        load_config(None, ["classes_per_batch=1"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("model.hidden=[512, 0]", r"model.hidden.1: .*greater than or equal to 1 \(given: 0\)"),
        ("data.classes=[]", r"data.classes: retrieval needs two classes or more"),
        ("data.classes=[dog]", r"data.classes: retrieval needs two classes or more"),
        ("data.classes=[dog, cat, dog]", r"data.classes: names dog more than once"),
        ("model.yt8m_pca=folder", r"model: yt8m_pca needs visual_pca"),
    ],
)
def test_values_that_cannot_be(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(None, [given])


def test_differences_name_both_values() -> None:
    old, new = load_config(), load_config(None, ["stage1.margin=0.3"])
    assert differences(old, new) == ["stage1.margin: 0.2 → 0.3"]
    assert differences(old, old) == []
    other = differences(old, load_config(None, ["stage1.mining=smooth_hard"]))
    assert {"stage1.margin: 0.2 → –", "stage1.members: – → 4"} < set(other)


EXPLAINED = [path for path in CONFIGS if path.stem != "paper"]
"""Presets to start from; paper.yaml is one reading of the paper, and explains less."""


@pytest.mark.parametrize("path", EXPLAINED, ids=lambda path: path.stem)
def test_every_setting_of_a_preset_says_what_it_trades(path: Path) -> None:
    for line in path.read_text().splitlines():
        if re.match(r" *\w+: *[^ #]", line):
            comment = line.partition("  # ")[2]
            assert len(re.findall(r"\w+", comment)) >= 2 or comment == "likewise", line


@pytest.mark.parametrize("path", EXPLAINED, ids=lambda path: path.stem)
def test_a_preset_has_every_setting_that_applies(path: Path) -> None:
    """All but the features' file."""
    given = yaml.safe_load(path.read_text())
    assert set(given) == set(Config.model_fields) - {"features"}
    for section, config in load_config(path):
        if isinstance(config, BaseModel):
            assert set(given[section]) == set(type(config).model_fields), section


def test_nothing_of_ours_gets_into_the_paper_s_network_by_default() -> None:
    """What is added to ours, and pays, would else be in the literal method unseen."""
    (path,) = set(CONFIGS) - set(EXPLAINED)
    assert set(yaml.safe_load(path.read_text())["model"]) == set(ModelConfig.model_fields)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("stage_2: {margin: 0.3}", "unknown key stage_2; did you mean stage2?"),
        ("margin: 0.3", "unknown key margin; did you mean stage1.margin or stage2.margin?"),
        ("model: {batch_size: 8}", "unknown key model.batch_size; did you mean batch_size?"),
        ("xyzzy: 1", "unknown key xyzzy"),
        (
            "stage2: {temprature: 1}",
            "unknown key stage2.temprature; did you mean stage2.temperature?",
        ),
        ("stage2: {memory: true}", "unknown key stage2.memory; did you mean stage2.memory_bank?"),
        (
            "stage1: {mining: soft}",
            "stage1.mining: Input should be one of semi_hard, hard, batch_all, smooth_hard "
            "(given: 'soft')",
        ),
        ("stage2: {mining: [hard]}", "stage2.mining: Input should be one of semi_hard"),
        ("stage1: 3", "stage1 is a section, of settings such as stage1."),
        ("stage1:\n  margin: 1\n  margin: 2", "line 3 gives margin a second time"),
    ],
)
def test_mistakes_of_place(tmp_path: Path, given: str, hint: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(given)
    with pytest.raises(UsageError, match=re.escape(hint)):
        load_config(path)


def test_malformed_overrides_are_named_with_the_other_faults() -> None:
    with pytest.raises(UsageError) as error:
        load_config(None, ["margin", "stage1.margn=1", "seed.x=3", "seed=x"])
    assert [part for part in ("'margin'", "stage1.margn", "seed") if part not in str(error)] == []


class TestNames:
    def test_a_preset_by_its_bare_name(self) -> None:
        assert load_config(Path("vegas")) == load_config(CONFIGS[0].parent / "vegas.yaml")
        assert set(presets()) == {path.stem for path in CONFIGS}

    def test_a_file_beats_a_preset(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("ave").write_text("seed: 77")
        assert load_config(Path("ave")).seed == 77

    def test_a_run_s_folder(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_text("seed: 78")
        assert load_config(tmp_path).seed == 78

    def test_an_unknown_one(self) -> None:
        with pytest.raises(
            NotFoundError, match=r"no preset vega; did you mean vegas\? there are: ave"
        ):
            load_config(Path("vega"))


class TestCommands:
    def _run(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, ["config", *map(str, arguments)])

    def test_show_prints_what_can_be_read_again(self, tmp_path: Path) -> None:
        shown = self._run("show", "--config", "vegas", "stage1.margin=0.25")
        path = tmp_path / "shown.yaml"
        path.write_text(shown.stdout)
        assert load_config(path) == load_config(Path("vegas"), ["stage1.margin=0.25"])

    def test_validate_names_the_faults_of_all_files(self, tmp_path: Path) -> None:
        wrong = tmp_path / "wrong.yaml"
        wrong.write_text("sed: 1\nbatch_size: none")
        result = self._run("validate", "ave", wrong, tmp_path / "absent.yaml")
        assert result.exit_code == 2
        assert result.stdout == "ave: valid\n"
        for part in ("did you mean seed?", "batch_size: ", "absent.yaml: cannot read"):
            assert part in result.stderr
        assert self._run("validate", *CONFIGS).exit_code == 0

    def test_diff(self) -> None:
        changed = self._run("diff", "ave", "vegas")
        assert changed.exit_code == 1
        assert "batch_size: 256 → 512\n" in changed.stdout
        same = self._run("diff", "ave", CONFIGS[0].parent / "ave.yaml")
        assert (same.exit_code, same.stdout) == (0, "")
        assert "model.activation: gelu → tanh" in self._run("diff", "paper").stdout

    def test_presets(self) -> None:
        listed = self._run("presets").stdout.splitlines()
        assert [line.split()[0] for line in listed] == [path.stem for path in CONFIGS]


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        (
            ["stage2.margin=0.3"],
            ["stage2.margin: smooth_hard has no margin; it belongs to semi_hard, hard, batch_all"],
        ),
        (
            ["stage1.members=2", "stage1.memory_bank=false"],
            [f"stage1.{key}: semi_hard has no {key}" for key in ("members", "memory_bank")],
        ),
        (
            ["stage2.temperature=0.1", "stage2.mining=hard"],
            ["stage2.temperature: hard has no temperature; it belongs to smooth_hard"],
        ),
    ],
)
def test_settings_of_another_mining_are_refused(settings: list[str], faults: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        load_config(None, settings)
    assert all(fault in str(error.value) for fault in faults)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("section", ["stage1", "stage2"])
def test_a_mining_alone_takes_the_stage_s_own_length(section: str, name: str) -> None:
    stage: Stage = getattr(load_config(None, [f"{section}.mining={name}"]), section)
    default = getattr(Config(), section)
    assert type(stage) is STAGES[name]
    assert (stage.max_epochs, stage.patience) == (default.max_epochs, default.patience)
    assert stage.learning_rate == 1e-3
    if not isinstance(stage, SmoothHardStage):
        assert stage.margin == 0.2
        assert stage.interpolation_points == (2 if section == "stage2" else 0)


def test_another_mining_than_the_file_s_keeps_what_both_have() -> None:
    file = load_config(Path("demo")).stage2
    stage = load_config(Path("demo"), ["stage2.margin=0.3", "stage2.mining=hard"]).stage2
    assert isinstance(stage, HardStage)
    assert (stage.max_epochs, stage.patience, stage.margin) == (file.max_epochs, file.patience, 0.3)


def test_only_stage_2_can_be_skipped() -> None:
    assert load_config(None, ["stage2.max_epochs=0"]).stage2.max_epochs == 0
    with pytest.raises(UsageError, match="stage1: max_epochs must be 1 or more"):
        load_config(None, ["stage1.max_epochs=0"])


def test_stages_describe_themselves() -> None:
    config = Config()
    assert config.stage1.description == "semi-hard triplets of the batch"
    assert "interpolations of all training embeddings" in config.stage2.description
    literal = load_config(None, ["stage2.mining=hard"]).stage2
    assert literal.description == "the hardest triplets of the batch, negatives interpolated too"


def test_complete_settings_are_read_back_whatever_is_mined(tmp_path) -> None:
    for settings in (
        [],
        ["stage2.mining=hard", "stage2.margin=0.3"],
        ["stage1.mining=smooth_hard"],
    ):
        config = load_config(None, settings)
        (tmp_path / "mine.yaml").write_text(config.to_yaml())
        assert load_config(tmp_path / "mine.yaml") == config
