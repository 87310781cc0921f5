"""Examples to one batch: NumPy up to here, tensors after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsc_core.alerts import Batch, Example

if TYPE_CHECKING:
    from torch import Tensor


def collate(examples: list[Example], codes: list[Tensor] | None = None) -> Batch:
    """Stack examples, padding shorter sequences at the end.

    Parameters
    ----------
    examples : list of Example
        B of them, of one preprocessor.
    codes : list of Tensor (A, E), optional
        Codes of each example's stamps, where they are known already.

    Raises
    ------
    ValueError
        For an empty list.
    """
    import torch  # here, so that choosing detections and drawing a page does not wait for it

    if not examples:
        raise ValueError("a batch needs at least one example")
    longest = max(len(example.has_stamps) for example in examples)
    present = np.array([[i < len(e.has_stamps) for i in range(longest)] for e in examples])
    return Batch(
        stamps=_stack([example.stamps for example in examples], longest),
        has_stamps=_stack([example.has_stamps for example in examples], longest),
        present=torch.from_numpy(present),
        dynamic=_stack([example.dynamic for example in examples], longest),
        static=torch.from_numpy(np.stack([example.static for example in examples])),
        allwise=torch.from_numpy(np.stack([example.allwise for example in examples])),
        labels=torch.tensor([example.label for example in examples], dtype=torch.int64),
        codes=None if codes is None else torch.nn.utils.rnn.pad_sequence(codes, batch_first=True),
    )


def _stack(arrays: list[np.ndarray], longest: int) -> Tensor:
    """(A_i, ...) arrays to (B, A, ...), zeros after each sequence's end."""
    import torch

    out = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)
