"""The state of a running training in one safetensors file: tensors in it, the rest as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn


def save_state(path: Path, tensors: dict[str, Tensor], values: dict) -> None:
    """Write tensors and plain JSON values; a reader, or a kill, never sees half of the file."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, _header(values))
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def _header(values: dict) -> dict[str, str]:
    return {"json": json.dumps(values)}


def load_state(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The inverse of `save_state`.

    Raises
    ------
    ValueError
        For a file that is no such state.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["json"])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no training state ({error})") from None


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under `prefix.name`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `prefixed`."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's state on the CPU, which later training does not change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's moments and counts, by place of the parameter and name."""
    state = optimizer.state_dict()["state"]
    return {f"{place}.{name}": value for place, entry in state.items() for name, value in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put `optimizer_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        place, name = key.split(".", 1)
        state.setdefault(int(place), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
