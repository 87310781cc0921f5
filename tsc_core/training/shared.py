"""What the cells of an experiment share: one trained encoder, the codes of every stamp, scaled metadata for each n."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tsc_core.config import ConfigError, RunConfig
from tsc_core.data.loaders import ExampleSet
from tsc_core.data.store import Dataset
from tsc_core.models import build_model
from tsc_core.survey import MAX_DETECTIONS
from tsc_core.training.checkpoint import load_state
from tsc_core.training.frozen import DRAWS, CodedExamples, coded
from tsc_core.training.sets import RunSets, Whole, make_sets
from tsc_core.training.trainer import BEST, train

PLACES = ("training", "validation", "test")
Sets = tuple[CodedExamples, CodedExamples, CodedExamples]


@dataclass(frozen=True, slots=True)
class SharedCodes:
    """Where shared things lie, and the encoder's run. Small enough to be sent to another process.

    Attributes
    ----------
    folder : str
        `encoder` (a run) and `sets-<digest>` (codes and metadata) are in it.
    encoder : RunConfig or None
        A `unified` run on images alone; None where no cell has images.
    """

    folder: str
    encoder: RunConfig | None

    def encoder_state(self) -> dict[str, Tensor]:
        """Weights of the trained encoder, by their names in any model of ours."""
        state, _ = load_state(Path(self.folder) / "encoder" / BEST)
        return {name: tensor for name, tensor in state.items() if name.startswith("coder.encoder.")}

    def adopt(self, network: nn.Module) -> nn.Module:
        """Put the encoder into a network and stop it from learning; returns the network."""
        network.load_state_dict({**network.state_dict(), **self.encoder_state()})
        network.coder.encoder.requires_grad_(False)
        return network

    def sets_folder(self, config: RunConfig) -> Path:
        """Where the sets for a configuration lie: equal for those that differ in layers or training alone."""
        parts = [asdict(config.preprocess), asdict(config.data), config.model.n, config.model.classes]
        text = json.dumps([*parts, self.has_codes(config)], sort_keys=True)
        return Path(self.folder) / f"sets-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def has_codes(self, config: RunConfig) -> bool:
        """Whether a configuration's sets carry codes."""
        return config.model.images and config.model.kind != "metadata"


def cached_sets(config: RunConfig, data: str, shared: SharedCodes) -> tuple[Sets, tuple[str, ...]]:
    """Codes and metadata for a configuration, read from their files (made where they are not there); test ids."""
    folder = shared.sets_folder(config)
    if not (folder / "oids.json").exists():
        prepare_sets([config], data, shared, progress=False)
    oids = json.loads((folder / "oids.json").read_text(encoding="utf-8"))
    training, validation, test = (CodedExamples.load(folder / f"{place}.safetensors") for place in PLACES)
    return (training, validation, test), tuple(oids)


def train_encoder(shared: SharedCodes, data: str, progress: bool = True) -> None:
    """Train the shared encoder, on the training objects alone; goes on where it was interrupted."""
    if shared.encoder is None or (Path(shared.folder) / "encoder" / "result.json").exists():
        return
    torch.manual_seed(shared.encoder.training.seed)
    sets = make_sets(shared.encoder, Dataset(data))
    train(shared.encoder, sets.training, sets.validation, Path(shared.folder) / "encoder", progress=progress)


def prepare_sets(configs: Iterable[RunConfig], data: str, shared: SharedCodes, progress: bool = True) -> None:
    """Encode every stamp once and write the sets of all configurations, those that are there excepted."""
    wanted = {shared.sets_folder(config): config for config in configs}
    wanted = {folder: config for folder, config in wanted.items() if not (folder / "oids.json").exists()}
    dataset, bank = Dataset(data), None
    for folder, config in wanted.items():
        if shared.has_codes(config):
            _check_encoder(config, shared)
            bank = bank or _bank(shared, dataset, progress)
        sets = make_sets(config, dataset)
        folder.mkdir(parents=True, exist_ok=True)
        for place in PLACES:
            _with_codes(sets, place, bank if shared.has_codes(config) else None).save(folder / f"{place}.safetensors")
        (folder / "oids.json").write_text(json.dumps(sets.test.oids), encoding="utf-8")


def _check_encoder(config: RunConfig, shared: SharedCodes) -> None:
    ours = (config.model.encoder, config.preprocess.channels, config.preprocess.crop, config.preprocess.scaling)
    made = shared.encoder and (
        shared.encoder.model.encoder,
        shared.encoder.preprocess.channels,
        shared.encoder.preprocess.crop,
        shared.encoder.preprocess.scaling,
    )
    if ours != made or config.data.window != "first" or config.preprocess.scaling != "stamp":
        raise ConfigError("shared codes need the encoder's own sizes, the window first and the scaling stamp")


def _bank(shared: SharedCodes, dataset: Dataset, progress: bool) -> dict[str, tuple[dict[str, int], Tensor]]:
    """For each place: row of each object, and codes (N, 5, V, k, E) of its first detections."""
    encoder_run = shared.encoder
    network = shared.adopt(build_model(encoder_run.model, encoder_run.preprocess))
    sets, bank = make_sets(encoder_run, dataset), {}
    for place in PLACES:
        examples = getattr(sets, place)
        draws = DRAWS if place == "training" else 0
        found = coded(Whole(examples), network.coder.encoder, draws, encoder_run.training.seed, progress)
        bank[place] = {oid: row for row, oid in enumerate(examples.oids)}, found.tensors["codes"]
    return bank


def _with_codes(sets: RunSets, place: str, bank: dict[str, tuple[dict[str, int], Tensor]] | None) -> CodedExamples:
    """One set of a configuration: its metadata, and the bank's codes of its detections."""
    examples: ExampleSet | Whole = getattr(sets, place)
    plain = coded(examples, None)
    if bank is None:
        return plain
    rows, codes = bank[place]
    chosen = codes[torch.tensor([rows[oid] for oid in examples.oids])][:, : plain.tensors["present"].shape[1]]
    return CodedExamples({**plain.tensors, "codes": chosen.contiguous()}, jitter=place == "training")


def encoder_run(config: RunConfig) -> RunConfig:
    """The run that trains the encoder for a configuration: images and times of all detections, any number of them."""
    model = replace(config.model, kind="unified", n=MAX_DETECTIONS, images=True, metadata=False, allwise=False)
    recurrent = replace(config.model.recurrent, kind="gru", units=64, layers=1, kernel=1)
    return replace(config, name="encoder", model=replace(model, recurrent=recurrent))
