"""Processes of this machine that share the work of one, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait


def process_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of fresh processes (nothing forked: threads of torch and Arrow do not survive that).

    They end when this process does, even if it was killed and could not tell them.
    """
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
