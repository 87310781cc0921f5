"""Configurations: TOML in, frozen dataclasses out. An unknown key, wrong type or impossible size is refused by name."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args, get_origin

import dacite

from tsc_core.features import DYNAMIC, STATIC, lookup
from tsc_core.survey import CLASSES, MAX_DETECTIONS, TEMPORAL_CLASSES, ZTF

T = TypeVar("T")
NAMES = tuple[str, ...]
ModelKind = Literal["stamp", "temporal", "metadata", "unified"]
RecurrentKind = Literal["conv1d", "lstm", "gru", "rnn", "gamma", "tdnn", "transformer"]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key."""


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _need_sizes(section: str, config: object, **limits: tuple[int, int]) -> None:
    """Refuse a size outside its limits: one far beyond any sensible network is a mistake or an attack."""
    for name, (least, most) in limits.items():
        value = getattr(config, name)
        _need(least <= value <= most, f"{section}.{name} is {value}: needs {least} to {most}")


@dataclass(frozen=True, slots=True)
class PreprocessConfig:
    """From alerts to arrays (paper, Sec. 2).

    Attributes
    ----------
    channels : tuple of str
        Stamps used, of "science", "template", "difference".
    crop : int
        Side a, in pixels, of the grid that the encoder sees.
    scaling : {"stamp", "sequence"}
        Min-max to [0, 1] for each stamp (the paper), or with limits shared by a channel's stamps of one band.
    metadata_scaling : {"standard", "quantile"}
        Mean 0 and deviation 1 (the paper), or mapped to a normal distribution, which tames long tails.
    dynamic, static : tuple of str
        Names from the feature table.
    allwise : bool
        Whether colours enter; where they do not, every object counts as unmatched.
    """

    channels: tuple[str, ...] = ("science", "template")
    crop: int = 33
    scaling: Literal["stamp", "sequence"] = "stamp"
    metadata_scaling: Literal["standard", "quantile"] = "standard"
    dynamic: tuple[str, ...] = DYNAMIC
    static: tuple[str, ...] = STATIC
    allwise: bool = True

    def __post_init__(self) -> None:
        _need_sizes("preprocess", self, crop=(1, ZTF.stamp_size))
        known = ("science", "template", "difference")
        _need(
            bool(self.channels) and set(self.channels) <= set(known), f"preprocess.channels {self.channels}: of {known}"
        )
        try:
            lookup(self.dynamic, "dynamic"), lookup(self.static, "static")
        except ValueError as error:
            raise ConfigError(f"preprocess: {error}") from None


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The CNN over one stamp (paper, Table 4) and its rotations.

    Attributes
    ----------
    rotations, jitter_turns
        k and theta: k views 360/k degrees apart, each jittered uniformly within +- theta of a full turn.
    padding : int
        Zeros around the grid before the first convolution (3 in the base network).
    kernel, width, codes : int
        Kernel of the later convolutions, channels of the first two layers (doubled after), length of a code.
    """

    rotations: int = 6
    jitter_turns: float = 0.08
    padding: int = 3
    first_kernel: int = 4
    kernel: int = 5
    width: int = 32
    codes: int = 64

    def __post_init__(self) -> None:
        _need_sizes("encoder", self, rotations=(1, 64), padding=(0, 16), first_kernel=(1, 15), kernel=(1, 15))
        _need_sizes("encoder", self, width=(1, 128), codes=(1, 512))
        _need(0 <= self.jitter_turns <= 1, f"encoder.jitter_turns is {self.jitter_turns}: a fraction of a turn, 0 to 1")
        _need(self.kernel % 2 == 1, f"encoder.kernel is {self.kernel}: needs an odd size to keep the grid's")


@dataclass(frozen=True, slots=True)
class RecurrentConfig:
    """The layer over the sequence (paper, Table 5).

    Attributes
    ----------
    kind : str
        A key of `tsc_core.models.RECURRENT`.
    units, layers : int
        Of lstm, gru, rnn and transformer; units is also the width of conv1d, gamma and tdnn.
    kernel : int
        Detections under a conv1d kernel, or the tdnn window.
    taps : int
        k of the gamma memory.
    """

    kind: RecurrentKind = "lstm"
    units: int = 64
    layers: int = 1
    kernel: int = 2
    taps: int = 3
    heads: int = 4

    def __post_init__(self) -> None:
        _need_sizes("recurrent", self, units=(1, 1024), layers=(1, 16), kernel=(1, 64), taps=(1, 64), heads=(1, 64))


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which network, for how many detections, of which classes.

    Attributes
    ----------
    kind : str
        A key of `tsc_core.models.MODELS`.
    n : int
        Detections the model takes (for `unified`: at most).
    images, metadata : bool
        Switch the stamps or the metadata off for ablations; `metadata` leaves the time difference in.
    trees_share : float
        Weight of the logits of decision trees over the metadata beside the network's (`tsc_core.models.forest`);
        0: no trees. Bundles that ship have them, the paper's networks do not.
    colours_apart : bool
        AllWISE colours are no input of network and trees: a bundle joins what they say to its answer
        (`tsc_core.models.colours`). So it is in bundles that ship; the paper's networks, and `tsc train`, read them.
    """

    kind: ModelKind = "temporal"
    n: int = 2
    classes: tuple[str, ...] = TEMPORAL_CLASSES
    images: bool = True
    metadata: bool = True
    allwise: bool = True
    dropout: float = 0.5
    hidden: int = 64
    trees_share: float = 0.0
    colours_apart: bool = False
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    recurrent: RecurrentConfig = field(default_factory=RecurrentConfig)

    def __post_init__(self) -> None:
        _need_sizes("model", self, n=(1, MAX_DETECTIONS))
        _need(self.kind != "stamp" or self.n == 1, f"model.n is {self.n}: a stamp model takes 1 detection")
        _need(0 <= self.dropout < 1, f"model.dropout is {self.dropout}: needs 0 up to 1")
        _need(0 <= self.trees_share <= 1, f"model.trees_share is {self.trees_share}: a share, 0 to 1")
        _need(not self.trees_share or self.metadata, "model.trees_share: trees read the metadata, which are off")
        _need_sizes("model", self, hidden=(1, 1024))
        unknown = set(self.classes) - set(CLASSES)
        _need(
            not unknown and len(set(self.classes)) == len(self.classes) >= 2,
            f"model.classes {self.classes}: of {CLASSES}",
        )
        apart = self.colours_apart
        _need(not apart or self.allwise, "model.colours_apart: AllWISE colours are off")
        _need(not apart or set(TEMPORAL_CLASSES) <= set(self.classes), f"model.colours_apart: needs {TEMPORAL_CLASSES}")
        windowed = self.kind in ("temporal", "metadata") and self.recurrent.kind in ("conv1d", "tdnn")
        _need(
            not windowed or self.recurrent.kernel <= self.n,
            f"recurrent.kernel is {self.recurrent.kernel}: the model has only n = {self.n} detections",
        )

    @property
    def colours_enter(self) -> bool:
        """Whether AllWISE colours are an input of network and trees."""
        return self.allwise and not self.colours_apart


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run (paper, Sec. 4.3; the published protocol is the default).

    Attributes
    ----------
    iterations, extension, extension_after : int
        Steps; a new best after `extension_after` buys `extension` more, once.
    evaluate_every : int
        Steps between validations.
    entropy : float
        Weight of the entropy term of the base model (0.5 there, 0 here).
    balanced : bool
        Draw batches with equal numbers per class.
    drop_stamps, drop_allwise : float
        Probability to hide the stamps of a detection, or the cross-match of an object, during training.
    metadata_noise : float
        Deviation of the normal noise added to scaled metadata during training.
    frozen_encoder : str or None
        A bundle whose encoder is taken over and not trained; its codes are computed once.
    patience : int
        Stop after so many validations without a new best; 0: never.
    cosine : bool
        Let the learning rate fall to 0 over `iterations`, along half a cosine.
    precision : {"float32", "bfloat16"}
        Of the matrix products in training; weights stay float32.
    trees_real_weight : float
        In the trees beside a network: weight of all real objects of a class together, for 1 of the simulated ones.
    """

    seed: int = 0
    iterations: int = 30_000
    extension: int = 10_000
    extension_after: int = 20_000
    evaluate_every: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    entropy: float = 0.0
    balanced: bool = True
    drop_stamps: float = 0.0
    drop_allwise: float = 0.0
    metadata_noise: float = 0.0
    frozen_encoder: str | None = None
    patience: int = 0
    cosine: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    trees_real_weight: float = 5.0

    def __post_init__(self) -> None:
        for name in ("iterations", "evaluate_every", "batch_size"):
            _need(getattr(self, name) >= 1, f"training.{name} is {getattr(self, name)}: needs 1 or more")
        for name in ("extension", "extension_after", "weight_decay", "entropy", "patience"):
            _need(getattr(self, name) >= 0, f"training.{name} is {getattr(self, name)}: needs 0 or more")
        _need(self.learning_rate > 0, f"training.learning_rate is {self.learning_rate}: needs to be positive")
        _need(self.metadata_noise >= 0, f"training.metadata_noise is {self.metadata_noise}: needs 0 or more")
        _need(self.trees_real_weight > 0, f"training.trees_real_weight is {self.trees_real_weight}: needs more than 0")
        for name in ("drop_stamps", "drop_allwise"):
            _need(0 <= getattr(self, name) <= 1, f"training.{name} is {getattr(self, name)}: a probability")
        _need(not (self.cosine and self.extension), "training.extension has no meaning where the rate falls to 0")

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if not self.cosine:
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(step / self.iterations, 1.0)))


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which sequences of a dataset a run sees: the window, and objects per class in validation and test.

    Attributes
    ----------
    split_detections : int
        Usable detections that validation and test objects need to have. 0: as many as the model takes. Runs that
        differ in n share one split, and are tested on the same objects, where all have the greatest n here.
    """

    window: Literal["first", "last"] = "first"
    validation_per_class: int = 200
    test_per_class: int = 200
    split_seed: int = 0
    split_detections: int = 0

    def __post_init__(self) -> None:
        for name in ("validation_per_class", "test_per_class"):
            _need(getattr(self, name) >= 1, f"data.{name} is {getattr(self, name)}: needs 1 or more")
        _need(0 <= self.split_detections <= MAX_DETECTIONS, f"data.split_detections is {self.split_detections}: 0 to 5")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All of one run: `[model]`, `[preprocess]`, `[training]` and `[data]` of a TOML file."""

    name: str = "run"
    model: ModelConfig = field(default_factory=ModelConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)


def from_dict(values: dict, kind: type[T]) -> T:
    """Build a configuration from nested dictionaries.

    Raises
    ------
    ConfigError
        On an unknown key, a wrong type or an impossible value; the message names the key.
    """
    hooks = {float: _as_float, NAMES: lambda x: tuple(x) if isinstance(x, list) else x}
    _need(isinstance(values, dict), f"the configuration is a {type(values).__name__}: needs a table of keys")
    try:
        config = dacite.from_dict(kind, values, dacite.Config(strict=True, type_hooks=hooks))
    except dacite.WrongTypeError as error:
        raise ConfigError(_wrong_type(error)) from None
    except dacite.DaciteError as error:
        raise ConfigError(str(error)) from None
    _check_numbers(config)
    return config


def _as_float(value: object) -> object:
    """A whole number will do where a fraction is needed; one beyond all fractions is infinite."""
    try:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    except OverflowError:
        return math.inf


def _wrong_type(error: dacite.WrongTypeError) -> str:
    if error.field_type == NAMES:
        return f"{error.field_path}: needs a list of names"
    if get_origin(error.field_type) is Literal:
        return f"{error.field_path} is {error.value!r}: needs one of {', '.join(get_args(error.field_type))}"
    return str(error)


def _check_numbers(config: object, path: str = "") -> None:
    """Python counts true as a 1 and infinity as a number: where a number is needed they are mistakes."""
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            _check_numbers(value, f"{path}{entry.name}.")
        _need(not isinstance(value, bool) or entry.type == "bool", f"{path}{entry.name} is {value}: needs a number")
        finite = not isinstance(value, float) or math.isfinite(value)
        _need(finite, f"{path}{entry.name} is {value}: needs a finite number")


def load(path: str | Path, kind: type[T] = RunConfig) -> T:
    """Read a TOML file into a configuration; raises `ConfigError` with the file's name in it."""
    try:
        return from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8")), kind)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def to_dict(config: object) -> dict:
    """A configuration as plain JSON values, such that `from_dict` gives it back."""
    return json.loads(json.dumps(asdict(config)))


__all__ = [
    "ConfigError", "DataConfig", "EncoderConfig", "ModelConfig", "PreprocessConfig", "RecurrentConfig",
    "RunConfig", "TrainConfig", "from_dict", "load", "replace", "to_dict",
]  # fmt: skip
