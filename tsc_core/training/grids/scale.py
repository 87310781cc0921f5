"""How large an experiment is: as published, or a quick form of it for a laptop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tsc_core.config import (
    DataConfig,
    EncoderConfig,
    ModelConfig,
    PreprocessConfig,
    RecurrentConfig,
    RunConfig,
    TrainConfig,
)
from tsc_core.survey import TEMPORAL_CLASSES
from tsc_core.training.cells import Mode


@dataclass(frozen=True, slots=True)
class Scale:
    """What the cells of all experiments have in common.

    Attributes
    ----------
    quick : bool
        A smaller network, fewer runs and iterations, one setting for each layer.
    frozen : bool
        Sequence models behind one frozen encoder, instead of whole networks.
    seeds : int or None
        Runs for each row; None: the experiment's own number.
    data : DataConfig
        Window and split.
    longest : int
        Greatest n that the dataset can test.
    steps : int or None
        Iterations of a training, instead of the published or the quick number; the quick form's encoder and
        one-alert networks keep their proportion to it.
    """

    quick: bool = False
    frozen: bool = False
    seeds: int | None = None
    data: DataConfig = field(default_factory=DataConfig)
    longest: int = 5
    steps: int | None = None

    @property
    def encoder(self) -> EncoderConfig:
        """The paper's encoder with M1's rotations, or a small one."""
        return EncoderConfig(rotations=4, kernel=3, width=12) if self.quick else EncoderConfig()

    @property
    def crop(self) -> int:
        """Side of the grid: M1's, or less."""
        return 27 if self.quick else 33

    @property
    def training(self) -> TrainConfig:
        """The published protocol, or a short one with a higher rate."""
        if not self.quick:
            return TrainConfig() if self.steps is None else TrainConfig(iterations=self.steps)
        steps = 400 if self.steps is None else self.steps
        often = max(20, steps // 100)
        return TrainConfig(iterations=steps, extension=0, evaluate_every=often, batch_size=64, learning_rate=1e-3)

    @property
    def encoder_training(self) -> TrainConfig:
        """The shared encoder's own run."""
        return self._shorter(3 / 4, 48)

    @property
    def stamp_training(self) -> TrainConfig:
        """Runs of whole networks on one alert, which has no frozen form."""
        return self._shorter(3 / 10, 32)

    def _shorter(self, share: float, batch_size: int) -> TrainConfig:
        found = self.training
        steps = max(1, round(share * found.iterations))
        return replace(found, iterations=steps, batch_size=batch_size) if self.quick else found

    @property
    def mode(self) -> Mode:
        """How cells with images run."""
        return "codes" if self.frozen or self.quick else "whole"

    def runs(self, own: int, quick: int) -> range:
        """Seeds of a row."""
        return range(self.seeds or (quick if self.quick else own))

    def counts(self, *wanted: int) -> tuple[int, ...]:
        """The numbers of detections that the dataset allows."""
        return tuple(n for n in wanted or (2, 3, 4, 5) if n <= self.longest)

    def units(self, wanted: int) -> int:
        """Width of a layer, at most 64 in the quick form."""
        return min(wanted, 64) if self.quick else wanted

    def sequence(self, name: str, n: int, layer: RecurrentConfig, **switches: bool) -> RunConfig:
        """A temporal classifier: `switches` are those of `ModelConfig` (images, metadata, allwise)."""
        kind = "temporal" if switches.get("images", True) else "metadata"
        model = ModelConfig(kind, n, TEMPORAL_CLASSES, encoder=self.encoder, recurrent=layer, **switches)
        return RunConfig(name, model, PreprocessConfig(crop=self.crop), self.training, self.data)


def layer(kind: str, setting: str, scale: Scale) -> RecurrentConfig:
    """The layer of a Table 6 setting: "1L 256U", "k 7", "V 2" or "Ke 3"."""
    numbers = [int("".join(c for c in word if c.isdigit()) or 0) for word in setting.split()]
    if setting.startswith("k "):
        return RecurrentConfig(kind, taps=numbers[-1])
    if setting.startswith(("V ", "Ke ")):
        return RecurrentConfig(kind, kernel=numbers[-1])
    return RecurrentConfig(kind, units=scale.units(numbers[1]), layers=1 if scale.quick else numbers[0])


def setting_of(found: RecurrentConfig) -> str:
    """A layer's setting in the words of Table 6."""
    if found.kind == "gamma":
        return f"k {found.taps}"
    if found.kind in ("conv1d", "tdnn"):
        return f"{'Ke' if found.kind == 'conv1d' else 'V'} {found.kernel}"
    return f"{found.layers}L {found.units}U"
