"""Every setting of a training run, with its default; unknown keys are refused."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataConfig(_Section):
    """How clips without a split are divided, by class and by source, and which classes count.

    Attributes:
        val_fraction: share for validation; of the training clips, where only val is missing.
        test_fraction: share for testing.
        split_seed: of the division.
        unit: what is trained on and retrieved: whole clips (the mean of all rows), each second of
            them (a row each), or their events (the mean of the rows inside), see
            :mod:`avcmr.features.units`.
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
    classes_per_batch: int = Field(0, ge=0)  # 0: not balanced; see avcmr.training.batches
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
