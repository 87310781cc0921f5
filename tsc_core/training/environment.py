"""What a run was made with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import torch

import tsc_core

PACKAGES = ("torch", "numpy", "scipy", "lightning-fabric", "safetensors")


def environment() -> dict:
    """Versions, processor and threads as plain JSON values; no names of people, machines or folders."""
    return {
        "tsc": tsc_core.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": {name: version(name) for name in PACKAGES},
    }
