"""Where the cells of an experiment run: this process, processes of this machine, or a dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed

from tsc_core.data.workers import process_pool
from tsc_core.training.cells import Cell, run_cell
from tsc_core.training.shared import SharedCodes


class EngineError(RuntimeError):
    """An engine that cannot be had; the message says what to do."""


def run_cells(
    cells: Sequence[Cell], data: str, out: str, shared: SharedCodes, workers: int = 1, scheduler: str | None = None
) -> Iterator[dict]:
    """Results of all cells, as they come; the same ones on every engine, for a cell runs on one thread.

    Parameters
    ----------
    cells : sequence of Cell
    data, out : str
        Folders of the dataset and the experiment; the workers of a cluster need to see them under the same paths.
    shared : SharedCodes
    workers : int
        Processes of this machine; 1: this process.
    scheduler : str, optional
        Address of a running dask scheduler (``tcp://host:8786``), used instead.

    Raises
    ------
    EngineError
        Where dask is not installed, or no scheduler answers.
    """
    if scheduler:
        yield from _on_dask(cells, data, out, shared, scheduler)
    elif workers <= 1 or len(cells) <= 1:
        for cell in cells:
            yield run_cell(cell, data, out, shared)
    else:
        with process_pool(workers) as pool:
            waiting = [pool.submit(run_cell, cell, data, out, shared) for cell in cells]
            for future in as_completed(waiting):
                yield future.result()


def _on_dask(cells: Sequence[Cell], data: str, out: str, shared: SharedCodes, scheduler: str) -> Iterator[dict]:
    try:
        from dask.distributed import Client
        from dask.distributed import as_completed as dask_completed
    except ImportError:
        raise EngineError(
            "a scheduler needs the extra `cluster`: pip install 'temporal-stamp-classifier[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=10)
    except OSError as error:
        raise EngineError(f"no dask scheduler answers at {scheduler} ({error})") from None
    with client:
        waiting = [client.submit(run_cell, cell, data, out, shared, key=cell.key, pure=False) for cell in cells]
        for future in dask_completed(waiting):
            yield future.result()
