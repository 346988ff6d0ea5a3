"""Every setting of a training run, with its default; unknown keys are refused."""

import difflib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from preprocessing.errors import SetupError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataConfig(_Section):
    """How clips without a split are divided, by class and by source, and which classes count.

    Attributes:
        val_fraction: share for validation; of the training clips, where only val is missing.
        test_fraction: share for testing.
        split_seed: of the division.
        unit: what is trained on and retrieved: whole clips (the mean of all rows), each second of
            them (a row each), or their events (the mean of the rows inside); see avcmr.units.
        classes: only clips of these classes, labelled in this order; None takes all. A file that
            numbers its classes and names none must have as many: these are then their names.
    """

    val_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.2, gt=0, lt=0.5)
    split_seed: int = 0
    unit: Literal["clip", "second", "event"] = "clip"
    classes: tuple[str, ...] | None = None

    @field_validator("classes")
    @classmethod
    def _classes_to_tell_apart(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes is None:
            return None
        if len(classes) < 2:
            raise ValueError("retrieval needs two classes or more; null takes all of the file")
        twice = [name for name, count in Counter(classes).items() if count > 1]
        if twice:
            raise ValueError(f"names {', '.join(twice)} more than once; name each class once")
        return classes


class ModelConfig(_Section):
    """The two branches; both have this shape, with weights of their own.

    ``posterior_temperature``: retrieve by the chance of a common class, with this temperature of
    the class posteriors; 0 retrieves by the cosine of the embeddings themselves.
    ``visual_pca``: put visual features through PCA to so many numbers, whitening and 8 bits, as
    YouTube-8M did (1024); 0 takes them as they are. ``yt8m_pca``: the folder of YouTube-8M's
    matrices, to use instead of fitting on the training clips. ``relevance``: each number of a
    feature counts by this power of how much it tells of the class; 0 makes all count alike.
    """

    embedding_dim: int = Field(32, ge=2)
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (512,)
    activation: Literal["gelu", "relu", "tanh"] = "gelu"
    input_dropout: float = Field(0.3, ge=0, lt=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    posterior_temperature: float = Field(0.1, ge=0)
    visual_pca: int = Field(0, ge=0)
    yt8m_pca: Path | None = None
    relevance: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _matrices_need_a_number_of_components(self) -> Self:
        if self.yt8m_pca is not None and not self.visual_pca:
            raise ValueError("yt8m_pca needs visual_pca, such as 1024")
        return self


Mining = Literal["semi_hard", "hard", "batch_all", "smooth_hard"]


_OF_MINERS = ("interpolation_points", "margin")
_OF_SMOOTH_HARD = ("synthetics_per_class", "members", "memory", "temperature")


def without_effect(mining: Mining) -> tuple[str, ...]:
    """The settings of a stage that this kind of mining has no use for."""
    return _OF_MINERS if mining == "smooth_hard" else _OF_SMOOTH_HARD


class StageConfig(_Section):
    """One stage of the curriculum.

    ``interpolation_points``, ``margin``: of the miners that choose single triplets from a batch.
    ``synthetics_per_class``, ``members``, ``memory``, ``temperature``: of ``smooth_hard``, whose
    positives and negatives are interpolated, ``members`` of a class at a time (1: the embeddings
    themselves), from a memory of all training embeddings, or else from those of the batch.
    """

    mining: Mining
    interpolation_points: int = Field(ge=0)
    margin: float = Field(0.2, gt=0, lt=2)
    synthetics_per_class: int = Field(8, ge=1)
    members: int = Field(4, ge=1)
    memory: bool = True
    temperature: float = Field(0.2, gt=0)
    learning_rate: float = Field(gt=0)
    max_epochs: int = Field(ge=0)
    patience: int = Field(ge=1)

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        defaults = type(self).model_fields
        idle = [
            key
            for key in without_effect(self.mining)
            if getattr(self, key) != defaults[key].default
        ]
        if idle:
            raise ValueError(f"{', '.join(idle)}: no effect with mining {self.mining}")
        return self


class Stage1Config(StageConfig):
    """Stage 1: semi-hard triplets of the originals."""

    mining: Mining = "semi_hard"
    interpolation_points: int = Field(0, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    max_epochs: int = Field(100, ge=1)
    patience: int = Field(20, ge=1)


class Stage2Config(StageConfig):
    """Stage 2: hard triplets among originals and interpolated embeddings."""

    mining: Mining = "smooth_hard"
    interpolation_points: int = Field(2, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    max_epochs: int = Field(50, ge=0)
    patience: int = Field(10, ge=1)


class Config(_Section):
    """A whole training run, as written to ``runs/NAME/config.yaml``."""

    features: Path | None = None
    seed: int = 0
    batch_size: int = Field(256, ge=2)
    classes_per_batch: int = Field(0, ge=0)  # 0: not balanced; see avcmr.batches
    weight_decay: float = Field(1e-2, ge=0)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    stage1: Stage1Config = Stage1Config()
    stage2: Stage2Config = Stage2Config()

    @field_validator("classes_per_batch")
    @classmethod
    def _negatives_need_two_classes(cls, classes: int) -> int:
        if classes == 1:
            raise ValueError("a batch of one class has no negatives; give 0 (not balanced) or 2")
        return classes

    def to_yaml(self) -> str:
        """The complete settings as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Defaults, then the YAML file, then ``key=value`` overrides (``stage1.margin=0.3``).

    Args:
        path: a YAML file, the folder of a run, or the bare name of a preset (``ave``).
        overrides: settings that beat the file's.

    Raises:
        SetupError: no such file, not YAML, or settings that are unknown or out of range; all
            faults are named at once, with the nearest known key.
    """
    settings = {} if path is None else _read_yaml(_config_file(path))
    faults = []
    for override in overrides:
        try:
            _set(settings, override)
        except SetupError as error:
            faults.append(str(error))
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        faults += [_explain(fault) for fault in error.errors()]
    if faults:
        raise SetupError(f"{path or 'settings'}: {'; '.join(faults)}")
    return config


def preset(name: str) -> Path:
    """``configs/NAME.yaml``: in a checkout beside the package, once installed inside it.

    Raises:
        SetupError: there is none of this name.
    """
    known = presets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SetupError(f"there is no preset {name}; {hint}There are: {', '.join(known)}")
    return known[name]


def presets() -> dict[str, Path]:
    """Name → file of the settings that avcmr brings."""
    package = Path(__file__).parent
    folders = [package.parent / "configs", package / "configs"]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _config_file(path: Path) -> Path:
    """A file is itself, a run's folder its ``config.yaml``, and a bare name a preset."""
    if (path / "config.yaml").is_file():
        return path / "config.yaml"
    return preset(path.name) if _is_bare(path) and not path.is_file() else path


def _is_bare(path: Path) -> bool:
    return not path.suffix and path.name == str(path)


def differences(old: Config, new: Config) -> list[str]:
    """The settings in which two runs differ, such as ``stage1.margin: 0.2 → 0.3``."""
    before, after = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    return [
        f"{key}: {before.get(key)} → {after.get(key)}"
        for key in before | after
        if before.get(key) != after.get(key)
    ]


class _Loader(yaml.SafeLoader):
    """Plain YAML, but a key may be given once only; PyYAML takes the last of several."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {line} has a list or a section where a key should be")
            if key.value in seen:
                raise yaml.YAMLError(f"line {line} gives {key.value} a second time")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, or has a date or number that is none.
    """
    try:
        return yaml.load(text, _Loader)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from None  # what PyYAML lets through of odd values


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(f"{path}: cannot read the config file ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise SetupError(f"{path}: not a YAML file ({reason})") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise SetupError(f"{path}: expected 'key: value' lines, found a {type(settings).__name__}")
    return settings


def _set(settings: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise SetupError(
            f"{override!r}: settings are given as key=value, such as stage1.margin=0.3"
        )
    *sections, last = key.split(".")
    for section in sections:
        inner = settings.setdefault(section, {})
        if not isinstance(inner, dict):
            raise SetupError(f"{override!r}: {section} is a value, not a section")
        settings = inner
    settings[last] = _yaml_scalar(value)


def _yaml_scalar(text: str) -> Any:
    try:
        value = _parse(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        # YAML 1.1 reads 1e-4 as a string, which nobody who types a learning rate expects.
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(fault: Mapping[str, Any]) -> str:
    location = [str(part) for part in fault["loc"]]
    key = ".".join(location)
    if fault["type"] == "extra_forbidden":
        near = _nearest(key)
        return f"unknown key {key}{near and f'; did you mean {near}?'}"
    if fault["type"] == "model_type":
        example = _keys_of(f"{key}.")[0]
        return f"{key} is a section, of settings such as {example} (given: {fault['input']!r})"
    reason = fault["msg"].removeprefix("Value error, ")
    return f"{key}: {reason} (given: {fault['input']!r})"


def _nearest(key: str) -> str:
    """What may have been meant: the same name in its own sections, or else the likest key."""
    keys = _keys_of()
    name = key.rpartition(".")[2]
    sections = [one for one in Config.model_fields if one not in keys]
    near = [one for one in keys if one.rpartition(".")[2] == name]
    return " or ".join(near or difflib.get_close_matches(key, [*keys, *sections], n=1, cutoff=0.5))


def _keys_of(section: str = "") -> list[str]:
    """All settings, such as ``stage1.margin``; or those of a section."""
    return [key for key in _flatten(Config().model_dump()) if key.startswith(section)]


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
