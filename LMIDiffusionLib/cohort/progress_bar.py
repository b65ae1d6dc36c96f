"""Progress bar over the scans of all processes of a cohort."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

_INTERVAL = 1.0  # seconds
# Largest share of the time that is spent on looking for finished scans.
_EFFORT = 0.05


@contextlib.contextmanager
def progress_bar(total: int, open_jobs: Sequence[Callable[[], bool]]) -> Iterator[None]:
    """Show the number of finished jobs and the time left if standard error is a terminal.

    Args:
        total: number of jobs, those that were finished before included.
        open_jobs: a function for each other job that tells whether it is finished.
    """
    with tqdm(total=total, initial=total - len(open_jobs), unit="scan", smoothing=0.05, disable=None) as bar:
        if bar.disable:
            yield
            return
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(bar, open_jobs, ended), daemon=True)
        watch.start()
        try:
            yield
        finally:
            ended.set()
            watch.join()


def _watch(bar: tqdm[None], open_jobs: Sequence[Callable[[], bool]], ended: threading.Event) -> None:
    pending = [*open_jobs]
    interval = _INTERVAL
    while not ended.wait(interval):
        start = time.monotonic()
        still = [is_finished for is_finished in pending if not is_finished()]
        interval = max(_INTERVAL, (time.monotonic() - start) / _EFFORT)
        bar.update(len(pending) - len(still))
        bar.refresh()  # updates the time even if no scan has finished
        pending = still
    bar.update(sum(is_finished() for is_finished in pending))
