"""Every setting of a training run, with its default; unknown keys are refused."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class DataConfig(_Section):
    """How clips without a split are divided, by class and source, and which classes are used.

    Attributes:
        val_fraction: share for validation; of the training clips, where only val is missing.
        test_fraction: share for testing.
        split_seed: of the random division.
        unit: what is trained on and retrieved: whole clips (the mean of all rows), each second of
            them (one row), or their events (the mean of the rows inside), see
            :mod:`avcmr.features.units`.
        classes: only clips of these classes, labelled in this order; None takes all. A file that
            numbers its classes without names must have as many: these are then their names.
    """

    val_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.2, gt=0, lt=0.5)
    split_seed: Seed = 0
    unit: Literal["clip", "second", "event"] = "clip"
    classes: tuple[str, ...] | None = None

    @field_validator("classes")
    @classmethod
    def _two_classes_each_once(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes is None:
            return None
        if len(classes) < 2:
            raise ValueError("retrieval needs two classes or more; null takes all of the file")
        twice = [name for name, count in Counter(classes).items() if count > 1]
        if twice:
            raise ValueError(f"names {', '.join(twice)} more than once; name each class once")
        return classes


class ModelConfig(_Section):
    """The network: two branches of this shape, each with weights of its own, and the ranking.

    Attributes:
        embedding_dim: dimensions of the embeddings.
        hidden: widths of the hidden layers.
        activation: after each of them.
        input_dropout: of the features.
        dropout: after each hidden layer.
        posterior_temperature: rank by class-posterior similarity, with this temperature of the
            posteriors; 0 ranks by the cosine of the embeddings.
        visual_pca: reduce visual features to so many dimensions by PCA, with whitening and 8 bits
            as in YouTube-8M (1024); 0 takes them as they are.
        yt8m_pca: folder of YouTube-8M's PCA matrices, to use instead of fitting on the training
            clips.
        feature_weights: power of the weights, by which dimensions that separate the classes count
            more (:mod:`avcmr.model.feature_weights`); 0 weights all alike.
    """

    embedding_dim: int = Field(32, ge=2)
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (512,)
    activation: Literal["gelu", "relu", "tanh"] = "gelu"
    input_dropout: float = Field(0.3, ge=0, lt=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    posterior_temperature: float = Field(0.1, ge=0)
    visual_pca: int = Field(0, ge=0)
    yt8m_pca: Path | None = None
    feature_weights: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _matrices_need_visual_pca(self) -> Self:
        if self.yt8m_pca is not None and not self.visual_pca:
            raise ValueError("yt8m_pca needs visual_pca, such as 1024")
        return self


class _StageSettings(_Section):
    """What every stage of the curriculum has.

    Attributes:
        mining: what its loss is made of; decides which other settings there are.
        learning_rate: AdamW's.
        max_epochs: a limit; 0 skips the stage.
        patience: epochs without better validation MAP before the stage ends.
    """

    mining: str
    learning_rate: float = Field(1e-3, gt=0)
    max_epochs: int = Field(100, ge=0)
    patience: int = Field(20, ge=1)


class TripletStage(_StageSettings):
    """A stage that mines triplets within the batch.

    Attributes:
        margin: of the triplet loss, in cosine distance.
        interpolation_points: synthetic negatives between any two embeddings of a class; 0: none.
    """

    margin: float = Field(0.2, gt=0, lt=2)
    interpolation_points: int = Field(0, ge=0)
    _triplets: ClassVar[str]

    @property
    def description(self) -> str:
        """What the stage learns from, for people."""
        among = ", negatives interpolated too" if self.interpolation_points else ""
        return self._triplets + among


class SemiHardStage(TripletStage):
    """For each anchor and positive the nearest negative that is farther away."""

    mining: Literal["semi_hard"] = "semi_hard"
    _triplets: ClassVar[str] = "semi-hard triplets of the batch"


class HardStage(TripletStage):
    """For each anchor its farthest positive and its nearest negative."""

    mining: Literal["hard"] = "hard"
    _triplets: ClassVar[str] = "the hardest triplets of the batch"


class BatchAllStage(TripletStage):
    """Each anchor with all of its positives and negatives."""

    mining: Literal["batch_all"] = "batch_all"
    _triplets: ClassVar[str] = "all triplets of the batch"


class SmoothHardStage(_StageSettings):
    """No mining: a softmax over all interpolated negatives, in which hard ones weigh most.

    Attributes:
        synthetics_per_class: interpolated embeddings, drawn for each batch.
        members: embeddings of the class that each lies between; 1: the embeddings themselves.
        memory_bank: interpolate between all training embeddings; else between the batch's.
        temperature: of the softmax, in cosine distance; lower: fewer, harder negatives count.
    """

    mining: Literal["smooth_hard"] = "smooth_hard"
    synthetics_per_class: int = Field(8, ge=1)
    members: int = Field(4, ge=1)
    memory_bank: bool = True
    temperature: float = Field(0.2, gt=0)

    @property
    def description(self) -> str:
        """What the stage learns from, for people."""
        source = "all training embeddings" if self.memory_bank else "the batch's embeddings"
        return f"a softmax over interpolations of {source}, hard negatives weighted most"


Stage = Annotated[
    SemiHardStage | HardStage | BatchAllStage | SmoothHardStage, Field(discriminator="mining")
]
"""The settings of a stage; there are those of its ``mining`` and no others."""

STAGES: dict[str, type[_StageSettings]] = {
    "semi_hard": SemiHardStage,
    "hard": HardStage,
    "batch_all": BatchAllStage,
    "smooth_hard": SmoothHardStage,
}


class Config(_Section):
    """A whole training run, as written to ``runs/NAME/config.yaml``.

    Attributes:
        features: the feature store or published feature file.
        seed: of weights, batches, dropout and synthetic embeddings.
        batch_size: of the global batch, over all workers.
        classes_per_batch: classes in each batch, with as many clips each; 0: not balanced, see
            :mod:`avcmr.training.batches`.
        weight_decay: AdamW's.
        data: splits, units and classes.
        model: the network and the ranking.
        stage1: from scratch, on semi-hard triplets by default.
        stage2: from the best weights of stage 1. Where it mines triplets, two points are
            interpolated for each pair by default.
    """

    features: Path | None = None
    seed: Seed = 0
    batch_size: int = Field(256, ge=2)
    classes_per_batch: int = Field(0, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    stage1: Stage = SemiHardStage()
    stage2: Stage = SmoothHardStage(max_epochs=50, patience=10)

    @field_validator("stage1", "stage2", mode="before")
    @classmethod
    def _what_a_stage_leaves_out(cls, given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, Mapping):
            return given
        default = cls.model_fields[info.field_name or ""].default
        settings = default.model_dump(include=set(_StageSettings.model_fields)) | given
        if info.field_name == "stage2" and settings["mining"] != "smooth_hard":
            settings = {"interpolation_points": 2} | settings
        return settings

    @field_validator("stage1")
    @classmethod
    def _stage_2_needs_a_start(cls, stage: Stage) -> Stage:
        if stage.max_epochs == 0:
            raise ValueError("max_epochs must be 1 or more: stage 2 starts from its weights")
        return stage

    @field_validator("classes_per_batch")
    @classmethod
    def _negatives_need_two_classes(cls, classes: int) -> int:
        if classes == 1:
            raise ValueError("a batch of one class has no negatives; give 0 (not balanced) or 2")
        return classes

    def to_yaml(self) -> str:
        """The complete settings as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
