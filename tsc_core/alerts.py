"""The words of the project: alerts, sequences of alerts, and what the models take and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = ("science", "template", "difference")


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """The three cutouts of one alert, as in the packet.

    Attributes
    ----------
    science, template, difference : ndarray (H, W), float32
        Counts; row 0 is north, column 0 is east. NaN beyond a chip edge.
    """

    science: np.ndarray
    template: np.ndarray
    difference: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (H, W) of the science stamp."""
        return self.science.shape

    def channel(self, name: str) -> np.ndarray:
        """One of `CHANNELS`, (H, W)."""
        return getattr(self, name)


@dataclass(frozen=True, slots=True, eq=False)
class Alert:
    """One detection of one object.

    Attributes
    ----------
    oid, candid : str
        Object and detection id. `candid` exceeds 2**53: it is never a float.
    mjd : float
        Start of the exposure, days.
    fid : int
        Filter: 1 g, 2 r, 3 i.
    record : Mapping
        The candidate record as it came, fields that are null left out. A detection known only from
        another packet's `prv_candidates` lacks the fields that ZTF gives packets alone.
    stamps : Stamps or None
        The cutouts, absent from history and from lost packets.
    missing : str or None
        Why there are no stamps, in words for a person.
    """

    oid: str
    candid: str
    mjd: float
    fid: int
    record: Mapping[str, object] = field(default_factory=dict, repr=False)
    stamps: Stamps | None = None
    missing: str | None = None

    @property
    def has_stamps(self) -> bool:
        """Whether cutouts came with the detection (of whatever size)."""
        return self.stamps is not None

    def value(self, name: str) -> float:
        """The number in field `name` of the record, NaN where the field is absent or no number."""
        found = self.record.get(name)
        if type(found) is float:
            return found
        if isinstance(found, bool) or not isinstance(found, (int, float, np.number)):
            return float("nan")
        return float(found)


@dataclass(frozen=True, slots=True)
class UpperLimit:
    """A visit without a detection: 5-sigma limit `diffmaglim` (mag) in band `fid` at `mjd`."""

    mjd: float
    fid: int
    diffmaglim: float


@dataclass(frozen=True, slots=True)
class AllWise:
    """The AllWISE source matched to an object (Vega magnitudes, NaN for a missing band).

    Attributes
    ----------
    w1, w2, w3, w4 : float
        Magnitudes at 3.4, 4.6, 12 and 22 micron.
    separation_arcsec : float
        Distance of the source from the object's position.
    designation : str
        Name of the AllWISE source.
    others : int
        How many further sources lie within the search radius.
    """

    w1: float
    w2: float
    w3: float
    w4: float
    separation_arcsec: float = float("nan")
    designation: str = ""
    others: int = 0

    @property
    def colours(self) -> tuple[float, float, float]:
        """W1-W2, W2-W3, W3-W4 in mag; NaN where a band is missing."""
        return (self.w1 - self.w2, self.w2 - self.w3, self.w3 - self.w4)


@dataclass(frozen=True, slots=True, eq=False)
class AlertSequence:
    """All that is known of one object, ordered in time.

    Attributes
    ----------
    oid : str
        Object id.
    source : str
        Where it was read, for provenance.
    alerts : tuple of Alert
        Detections, ascending in `mjd`, no candid twice.
    limits : tuple of UpperLimit
        Visits without a detection, ascending in `mjd`.
    allwise : AllWise or None
        The cross-match; None without a match or where nobody asked (`allwise_asked`).
    allwise_asked : bool
        Whether a cross-match was made.
    flags : tuple of str
        What a person should know about the data: lost packets, odd times.
    label : str or None
        True class where known.
    """

    oid: str
    source: str
    alerts: tuple[Alert, ...]
    limits: tuple[UpperLimit, ...] = ()
    allwise: AllWise | None = None
    allwise_asked: bool = False
    flags: tuple[str, ...] = ()
    label: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """What one model sees of one object: arrays in NumPy, scaled, ready to be collated.

    Attributes
    ----------
    stamps : ndarray (A, C, H, W), float32
        Scaled to [0, 1], NaN replaced by 0; all zeros where there is no stamp.
    has_stamps : ndarray (A,), bool
    dynamic : ndarray (A, D), float32
        Standardised dynamic metadata, the time difference last.
    static : ndarray (S,), float32
        Standardised static metadata of the sequence.
    allwise : ndarray (4,), float32
        Three standardised colours (0, the training mean, where missing) and the flag "not all known".
    label : int
        Index of the true class, -1 if unknown.
    """

    stamps: np.ndarray
    has_stamps: np.ndarray
    dynamic: np.ndarray
    static: np.ndarray
    allwise: np.ndarray
    label: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B examples as tensors, padded at the end to the longest sequence A.

    Attributes
    ----------
    stamps : Tensor (B, A, C, H, W), float32
    has_stamps : Tensor (B, A), bool
    present : Tensor (B, A), bool
        False for padding.
    dynamic : Tensor (B, A, D), static : Tensor (B, S), allwise : Tensor (B, 4)
    labels : Tensor (B,), int64
    codes : Tensor (B, A, E) or None
        Codes already computed by the model's own encoder: given, the stamps are not encoded again.
    """

    stamps: Tensor
    has_stamps: Tensor
    present: Tensor
    dynamic: Tensor
    static: Tensor
    allwise: Tensor
    labels: Tensor
    codes: Tensor | None = None

    def __len__(self) -> int:
        """Number of objects B."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Step:
    """Class probabilities after `n` detections, and the bundle (`model`) that gave them.

    Attributes
    ----------
    low, high : Mapping or None
        Least and greatest probability of each class among the members; None for a single model, and where `held_out`.
    conformal : tuple of str or None
        Classes that cannot be ruled out at `coverage`, possibly none; None where the bundle cannot tell.
    coverage : float or None
        Share of the objects of each class whose set holds their class.
    unlike : float or None
        Percentile of the object among held-out objects in unlikeness to the training data, 0 to 100.
    priors : Mapping or None
        Class frequencies that `probabilities`, `low` and `high` assume; None: equal, as trained.
    held_out : bool
        Whether the bundle has learnt from the object, so that the one member that did not see it answers alone.
    """

    n: int
    model: str
    probabilities: Mapping[str, float]
    low: Mapping[str, float] | None = None
    high: Mapping[str, float] | None = None
    conformal: tuple[str, ...] | None = None
    coverage: float | None = None
    unlike: float | None = None
    priors: Mapping[str, float] | None = None
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Detection:
    """One detection as a person sees it: whether the models used it and, if not, the reason."""

    candid: str
    mjd: float
    fid: int
    magpsf: float
    has_stamps: bool
    used: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the models say of one object as its detections accumulate."""

    oid: str
    source: str
    detections: tuple[Detection, ...]
    steps: tuple[Step, ...]
    allwise: AllWise | None = None
    flags: tuple[str, ...] = ()
