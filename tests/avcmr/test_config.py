"""Settings: precedence, refusals and their wording."""

from pathlib import Path

import pytest

from avcmr.config import Config, differences, load_config
from preprocessing.errors import SetupError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_load_and_open_with_commands(path: Path) -> None:
    load_config(path)
    assert "avcmr train --features" in path.read_text().split("\n\n")[0]


def test_the_command_line_beats_the_file_beats_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("batch_size: 128\nstage2: {margin: 0.4, patience: 3}\n")
    config = load_config(path, ["stage2.margin=0.5", "stage1.learning_rate=1e-4"])
    assert (config.batch_size, config.stage2.margin, config.stage2.patience) == (128, 0.5, 3)
    assert config.stage1.learning_rate == 1e-4
    assert config.seed == Config().seed


def test_yaml_round_trip(tmp_path: Path) -> None:
    config = load_config(None, ["model.hidden=[64,32]", "stage2.mining=semi_hard"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path) == config


def test_all_faults_are_named_at_once_with_the_nearest_key() -> None:
    with pytest.raises(SetupError) as error:
        load_config(None, ["stage1.margn=0.3", "batch_sizes=4", "stage2.margin=-1"])
    message = str(error.value)
    assert "unknown key stage1.margn; did you mean stage1.margin?" in message
    assert "unknown key batch_sizes; did you mean batch_size?" in message
    assert "stage2.margin" in message
    assert "-1" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a: [1,", "not a YAML file"), ("- 1\n- 2\n", "found a list"), ("\x00", "not a YAML file")],
)
def test_broken_files(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SetupError, match=wanted):
        load_config(path)


def test_missing_file_and_malformed_override() -> None:
    with pytest.raises(SetupError, match="cannot read the config file"):
        load_config(Path("nowhere.yaml"))
    for override in ("margin", "=3", "seed.x=3"):
        with pytest.raises(SetupError):
            load_config(None, ["seed=1", override])


def test_batches_of_one_class_are_refused() -> None:
    with pytest.raises(SetupError, match=r"classes_per_batch: .*no negatives"):
        load_config(None, ["classes_per_batch=1"])


def test_differences_name_both_values() -> None:
    old, new = load_config(), load_config(None, ["stage2.margin=0.3"])
    assert differences(old, new) == ["stage2.margin: 0.2 → 0.3"]
    assert differences(old, old) == []
