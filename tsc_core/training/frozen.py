"""Frozen-encoder mode: stamps are encoded once, then sequence layers, units, seeds and n are compared in seconds.

Of every stamp the codes of its k rotated views are kept, without jitter and for a few jittered draws. A training
batch picks one draw for each view anew, so that the rotations still vary; evaluation uses the codes without jitter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from tsc_core.alerts import Batch
from tsc_core.bundle import Bundle, encoder_state
from tsc_core.config import ConfigError, RunConfig
from tsc_core.models.encoder import Encoder
from tsc_core.training.batches import Examples, as_dict, in_order
from tsc_core.training.checkpoint import load_state, save_state

DRAWS = 3  # jittered draws kept of each view
SEQUENCES = ("has_stamps", "present", "dynamic", "codes")  # tensors with an axis of detections


class CodedExamples:
    """Examples without pixels: metadata, and codes of every view where the model has images.

    Parameters
    ----------
    tensors : dict of str to Tensor
        has_stamps, present (N, A), dynamic (N, A, D), static (N, S), allwise (N, 4), labels (N,); with images
        also codes (N, A, V, k, E): V = 1 draw without jitter, then the jittered ones.
    jitter : bool
        Whether batches draw among the jittered codes (training) or take those without jitter.
    """

    def __init__(self, tensors: dict[str, Tensor], jitter: bool) -> None:
        self.tensors, self.jitter = tensors, jitter
        self.labels = tensors["labels"].numpy()

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.labels)

    def batch(self, indices: np.ndarray, rng: np.random.Generator) -> Batch:
        """Objects at `indices`; the draw of each view comes from `rng`."""
        rows = torch.from_numpy(np.asarray(indices))
        found = {name: tensor[rows] for name, tensor in self.tensors.items() if name != "codes"}
        count, alerts = found["has_stamps"].shape
        codes = self._codes(rows, rng) if "codes" in self.tensors else None
        return Batch(stamps=torch.zeros(count, alerts, 0, 0, 0), codes=codes, **found)

    def _codes(self, rows: Tensor, rng: np.random.Generator) -> Tensor:
        codes = self.tensors["codes"]
        draws, views = codes.shape[2:4]
        if not self.jitter or draws == 1:
            return codes[rows, :, 0].mean(dim=2)
        chosen = torch.from_numpy(rng.integers(1, draws, (len(rows), codes.shape[1], views)))
        place = torch.arange(codes.shape[1])[None, :, None], torch.arange(views)
        return codes[rows[:, None, None], place[0], chosen, place[1]].mean(dim=2)  # (B, A, E)

    def first(self, n: int) -> CodedExamples:
        """The same objects cut to their first n detections."""
        tensors = {name: t[:, :n] if name in SEQUENCES else t for name, t in self.tensors.items()}
        return CodedExamples(tensors, self.jitter)

    def take(self, rows: Sequence[int]) -> CodedExamples:
        """The objects at `rows`, which may name one more than once."""
        chosen = torch.as_tensor(rows)
        return CodedExamples({name: tensor[chosen] for name, tensor in self.tensors.items()}, self.jitter)

    def save(self, path: Path) -> None:
        """Write as one safetensors file."""
        save_state(path, self.tensors, {"jitter": self.jitter})

    @classmethod
    def load(cls, path: Path) -> CodedExamples:
        """Read what `save` wrote; raises `ValueError` for another file."""
        tensors, values = load_state(path)
        return cls(tensors, values["jitter"])


@torch.no_grad()
def stamp_codes(encoder: Encoder, stamps: Tensor, draws: int) -> Tensor:
    """Codes (N, 1 + draws, k, E) of stamps (N, C, H, W): without jitter, then jittered from torch's random state."""
    found = [encoder.eval().view_codes(stamps)]
    encoder.rotations.train()
    found += [encoder.view_codes(stamps) for _ in range(draws if encoder.rotations.jitter_turns > 0 else 0)]
    encoder.eval()
    return torch.stack(found, dim=1).float()


def coded(
    examples: Examples, encoder: Encoder | None, draws: int = 0, seed: int = 0, progress: bool = False
) -> CodedExamples:
    """Pass all examples through a frozen encoder once; without one, keep the metadata alone.

    Parameters
    ----------
    examples : Examples
    encoder : Encoder or None
    draws : int
        Jittered draws kept of each view: 0 for validation and test.
    seed : int
        Of the jitter.
    progress : bool
        Show a bar on standard error.
    """
    parts: list[dict[str, Tensor]] = []
    bar = tqdm(total=len(examples), desc="encoding", unit="object", disable=None if progress else True, leave=False)
    with bar, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for batch in in_order(examples, 64):
            tensors = as_dict(batch)
            if encoder is not None:
                seen = batch.has_stamps & batch.present
                tensors["codes"] = _spread(stamp_codes(encoder, batch.stamps[seen], draws), seen)
            del tensors["stamps"]
            parts.append(tensors)
            bar.update(len(batch))
    return CodedExamples(_joined(parts), jitter=draws > 0)


def _spread(codes: Tensor, seen: Tensor) -> Tensor:
    """Codes of the seen stamps (N, ...) at their places in (B, A, ...), zeros elsewhere."""
    return codes.new_zeros(*seen.shape, *codes.shape[1:]).index_put((seen,), codes)


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    longest = max(part["present"].shape[1] for part in parts)
    joined = {}
    for name in parts[0]:
        tensors = [part[name] for part in parts]
        joined[name] = torch.cat([_pad(t, longest) for t in tensors] if name in SEQUENCES else tensors)
    return joined


def _pad(tensor: Tensor, longest: int) -> Tensor:
    missing = longest - tensor.shape[1]
    return torch.cat((tensor, tensor.new_zeros(len(tensor), missing, *tensor.shape[2:])), dim=1) if missing else tensor


def adopt_encoder(network: nn.Module, config: RunConfig, bundle: Bundle) -> nn.Module:
    """Put a bundle's encoder into a network and stop it from learning; returns the network.

    Raises
    ------
    ConfigError
        Where the encoders, or the stamps they see, differ.
    """
    theirs, ours = bundle.config, config
    pairs = {
        "model.encoder": (theirs.model.encoder, ours.model.encoder),
        "model.images": (theirs.model.images, ours.model.images),
        "preprocess.channels": (theirs.preprocess.channels, ours.preprocess.channels),
        "preprocess.crop": (theirs.preprocess.crop, ours.preprocess.crop),
        "preprocess.scaling": (theirs.preprocess.scaling, ours.preprocess.scaling),
    }
    for name, (found, needed) in pairs.items():
        if found != needed:
            raise ConfigError(f"training.frozen_encoder: {name} is {found} in {bundle.name}, {needed} in this run")
    network.load_state_dict({**network.state_dict(), **encoder_state(bundle.model)})
    network.coder.encoder.requires_grad_(False)
    return network


def coded_sets(
    sets: Iterable[Examples], encoder: Encoder | None, seed: int = 0, draws: int = DRAWS, progress: bool = False
) -> tuple[CodedExamples, ...]:
    """Training set with jittered draws, the others (validation, test) without."""
    return tuple(coded(found, encoder, 0 if i else draws, seed, progress) for i, found in enumerate(sets))
