"""The checkpoint: a folder that predicts alone, of JSON and safetensors. Never a pickle, never code.

``bundle.json``  configuration, fitted preprocessor, calibration, card (training data, provenance)
``weights.safetensors``  weights of one model, or of the members of a small ensemble
``metrics.json``, ``card.md``  written by the command that evaluates the bundle; not needed to predict
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tsc_core.alerts import Batch
from tsc_core.config import RunConfig, from_dict, to_dict
from tsc_core.models import build_model
from tsc_core.models.colours import ColourEvidence
from tsc_core.models.doubt import Doubt
from tsc_core.models.forest import Forest
from tsc_core.preprocessing import Preprocessor
from tsc_core.survey import TEMPORAL_CLASSES

FORMAT = 1
TABLES = ("config", "preprocessor", "temperatures", "folds", "card")  # what `bundle.json` holds by name
COLOURED = "colours."  # where a bundle keeps the colours that stand apart
ENCODER = "coder.encoder."  # where a model keeps what turns stamps into codes
CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"


class BundleError(ValueError):
    """A folder that is no usable bundle; the message says what was found and what was needed."""


@dataclass(frozen=True)
class Bundle:
    """A trained classifier with all that it needs to predict.

    Attributes
    ----------
    name : str
    config : RunConfig
        As trained.
    preprocessor : Preprocessor
        Fitted on the training split.
    members : tuple of nn.Module
        One model, or several whose probabilities are averaged; they share one encoder.
    temperatures : Mapping of int to float
        Divides the logits after n detections; 1 where absent.
    folds : Mapping of str to int
        For each labelled object trained on, the one member that did not see it (cross-validation); empty
        where members are not folds.
    doubt : Mapping of int to Doubt
        What is kept of held-out objects after n detections.
    card : dict
        Training data and provenance, plain JSON values.
    colours : ColourEvidence or None
        What AllWISE colours say, where they are no input of the members (`model.colours_apart`).
    """

    name: str
    config: RunConfig
    preprocessor: Preprocessor
    members: tuple[nn.Module, ...]
    temperatures: Mapping[int, float] = field(default_factory=dict)
    folds: Mapping[str, int] = field(default_factory=dict)
    card: dict = field(default_factory=dict)
    doubt: Mapping[int, Doubt] = field(default_factory=dict)
    colours: ColourEvidence | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.config.model.classes

    def classes_after(self, n: int) -> tuple[str, ...]:
        """Class names in the order of the probabilities after n detections.

        A model for any number knows five classes; from two detections on it is read for the temporal three.
        """
        known = set(self.classes) if n == 1 or self.config.model.kind != "unified" else set(TEMPORAL_CLASSES)
        return tuple(name for name in self.classes if name in known)

    def tempered(self, logits: Tensor, n: int, allwise: Tensor | None = None) -> Tensor:
        """Logits (..., K) of `classes_after(n)` from logits (..., classes), divided by the temperature.

        Where colours stand apart, those of a batch, `allwise` (B, 4), are joined to what the temperature has tempered:
        it was fitted without them.
        """
        classes = self.classes_after(n)
        found = logits[..., [self.classes.index(name) for name in classes]] / self.temperatures.get(n, 1.0)
        return found if self.colours is None or allwise is None else self.colours(found, classes, allwise)

    def probabilities(self, logits: Tensor, n: int, allwise: Tensor | None = None) -> Tensor:
        """Probabilities (..., K) of `classes_after(n)` from logits (..., classes): those of `tempered`."""
        return self.tempered(logits, n, allwise).softmax(-1)

    def logits(self, batch: Batch) -> Tensor:
        """Logits (M, B, classes) of every member; their trees are walked together."""
        if self._trees is None:
            return torch.stack([member(batch) for member in self.members])
        alone = torch.stack([member.network(batch) for member in self.members])
        return alone + self._trees(self._trees.newest(batch))

    @cached_property
    def metadata_reader(self) -> Forest:
        """What puts an object's metadata into one row, as the trees see them; it has no trees itself."""
        return Forest(self.config.model, self.config.preprocess)

    def inputs(self, batch: Batch) -> Tensor:
        """Metadata (B, F) of each object after its last detection."""
        return self.metadata_reader.newest(batch)

    @cached_property
    def _trees(self) -> Forest | None:
        forests = [member.forest for member in self.members]
        alike = len({len(forest.roots) if forest else 0 for forest in forests}) == 1
        return forests[0].beside(forests[1:]) if len(forests) > 1 and forests[0] and alike else None

    @property
    def model(self) -> nn.Module:
        """The first member."""
        return self.members[0]

    @cached_property
    def encoder_key(self) -> str | None:
        """Equal for bundles whose codes of a stamp are equal; None without images."""
        state = encoder_state(self.model)
        if not state:
            return None
        stamps = (self.config.preprocess.channels, self.config.preprocess.crop, self.config.model.encoder)
        digest = hashlib.sha256(repr((stamps, self.config.preprocess.scaling)).encode())
        for name, tensor in sorted(state.items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def encoder_state(model: nn.Module) -> dict[str, Tensor]:
    """The part of a model's state that turns stamps into codes."""
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith(ENCODER)}


def save_bundle(bundle: Bundle, path: str | Path) -> Path:
    """Write a bundle folder; a reader never sees half of one, since `bundle.json` comes last.

    Raises
    ------
    BundleError
        Where members have encoders of their own: their codes could not be shared.
    """
    _check_encoders(bundle.members)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    state = {}
    for i, member in enumerate(bundle.members):
        for name, tensor in member.state_dict().items():
            first = state.get(f"0.{name}")
            if first is None or not torch.equal(first, tensor):  # what members share is stored once
                state[f"{i}.{name}"] = tensor.detach().contiguous().clone()
    if bundle.colours is not None:
        state |= {COLOURED + name: tensor.contiguous() for name, tensor in bundle.colours.state_dict().items()}
    description = {
        "format": FORMAT,
        "name": bundle.name,
        "config": to_dict(bundle.config),
        "preprocessor": bundle.preprocessor.to_dict(),
        "members": len(bundle.members),
        "folds": dict(bundle.folds),
        "temperatures": {str(n): value for n, value in bundle.temperatures.items()},
        "doubt": {str(n): known.to_dict() for n, known in bundle.doubt.items()},
        "card": bundle.card,
    }
    _replace(folder / "weights.safetensors", save(state))
    _replace(folder / "bundle.json", json.dumps(description, indent=1, allow_nan=False).encode())
    return folder


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_bytes(content)
    part.replace(path)


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle folder; the models are in evaluation mode.

    Raises
    ------
    BundleError
        Where a file is missing or broken, the format is newer, or weights and configuration disagree.
    """
    folder = Path(path)
    try:
        found = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise BundleError(f"format {found['format']}, this version reads {FORMAT}")
        if wrong := [name for name in TABLES if not isinstance(found[name], dict)]:
            raise BundleError(f"{', '.join(wrong)}: need to be JSON objects")
        config = from_dict(found["config"], RunConfig)
        preprocessor = Preprocessor.from_dict(found["preprocessor"])
        if preprocessor.config != config.preprocess:
            raise BundleError("the preprocessor was fitted for another configuration")
        temperatures = {int(n): float(value) for n, value in found["temperatures"].items()}
        if not all(math.isfinite(value) and value > 0 for value in temperatures.values()):
            raise BundleError("temperatures need to be positive")
        state = load_file(folder / "weights.safetensors")
        members = _members(config, state, int(found["members"]))
        folds = {str(oid): int(member) for oid, member in found["folds"].items()}
        if not set(folds.values()) <= set(range(len(members))):
            raise BundleError(f"folds name a member beyond the {len(members)} there are")
        colours = None
        if config.model.colours_apart:
            colours = ColourEvidence(state[f"{COLOURED}points"], state[f"{COLOURED}owner"])
        known = (str(found["name"]), config, preprocessor, members, temperatures, folds, found["card"])
        bundle = Bundle(*known, colours=colours)
        return replace(bundle, doubt=_doubt(bundle, found.get("doubt", {})))
    except Exception as error:  # JSON and tensors of a hostile folder raise many kinds, all of them mean the same here
        raise BundleError(f"{folder} is not a usable bundle: {type(error).__name__}: {error}") from None


def _doubt(bundle: Bundle, found: Mapping) -> dict[int, Doubt]:
    """What is kept of held-out objects, by n, once it is known to fit the bundle's classes and members."""
    known, width = {}, bundle.metadata_reader.width
    for n, kept in dict(found).items():
        try:
            known[int(n)] = Doubt.from_dict(kept, bundle.classes_after(int(n)), len(bundle.members), width)
        except ValueError as error:
            raise BundleError(f"doubt at n = {n} {error}") from None
    return known


def _members(config: RunConfig, state: Mapping[str, Tensor], count: int) -> tuple[nn.Module, ...]:
    if not 1 <= count <= 64:
        raise BundleError(f"{count} members: needs 1 to 64")
    wrong = [name for name, tensor in state.items() if not tensor.float().sum().isfinite()]  # a sum shows any
    if wrong:
        raise BundleError(f"NaN or infinity in {', '.join(wrong)}: weights need to be finite")
    members = []
    for i in range(count):
        model = build_model(config.model, config.preprocess)
        names = model.state_dict()
        model.load_state_dict({name: state.get(f"{i}.{name}", state[f"0.{name}"]) for name in names})
        members.append(model.eval().requires_grad_(False))
    _check_encoders(members)
    return tuple(members)


def _check_encoders(members: Sequence[nn.Module]) -> None:
    first = encoder_state(members[0])
    for member in members[1:]:
        if any(not torch.equal(tensor, first[name]) for name, tensor in encoder_state(member).items()):
            raise BundleError("the members of a bundle need to share one encoder")


def shipped(folder: str | Path | None = None) -> dict[str, Path]:
    """Bundles in a folder (by default `CHECKPOINTS`) by name, without loading them."""
    return {path.parent.name: path.parent for path in sorted(Path(folder or CHECKPOINTS).glob("*/bundle.json"))}
