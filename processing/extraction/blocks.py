"""Independent blocks of work in a few threads, kept in a checkpoint as they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from processing.checkpoint import Checkpoint
from processing.progress import CancelCheck, stop_if


def run_blocks(
    keys: dict[str, Any],
    work: Callable[[Any, CancelCheck], dict[str, Any]],
    workers: int,
    checkpoint: Checkpoint | None,
    cancelled: CancelCheck,
) -> Iterator[tuple[str, Any]]:
    """Yield (key, block) for all keys: from the checkpoint where it has them, else by `work` in threads.

    Each thread has one BLAS thread; the checkpoint is used from the calling thread only.
    """
    import threading
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

    from threadpoolctl import threadpool_limits

    missing = []
    for key in keys:
        block = checkpoint.load(key) if checkpoint is not None else None
        if block is None:
            missing.append(key)
        else:
            yield key, block
    stop = threading.Event()
    with threadpool_limits(1), ThreadPoolExecutor(max(1, workers)) as pool:
        pending = {pool.submit(work, keys[key], stop.is_set): key for key in missing}
        try:
            while pending:
                done, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                stop_if(cancelled)
                for future in done:
                    key = pending.pop(future)
                    block = future.result()
                    if checkpoint is not None:
                        checkpoint.save(key, block)
                    yield key, block
        finally:
            stop.set()
            for future in pending:
                future.cancel()
