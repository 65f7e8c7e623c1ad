"""How all benchmarks measure: candidates take turns within one run, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

Samples = dict[str, list[float]]


def take_turns(candidates: Mapping[str, Callable[[], object]], *, rounds: int, per_sample: int = 1) -> Samples:
    """
    Run all candidates in turn (A B C A B C ...), once more for warming up.

    :param per_sample: how many units of work one run does.
    :return: CPU seconds of this process for one unit, by candidate and round. The collector runs before each
        sample and stays switched on, as it is in use.
    """
    samples: Samples = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, run in candidates.items():
            gc.collect()
            started = time.process_time()
            run()
            if number:
                samples[name].append((time.process_time() - started) / per_sample)
    return samples


def ratio(samples: Samples, other: str, ours: str) -> float:
    """How many times what ours took the other took, as the median over the rounds."""
    return median(theirs / own for theirs, own in zip(samples[other], samples[ours], strict=True))


def show(title: str, samples: Samples, *, ours: str, unit: str = "ms") -> None:
    """Print the medians, and each candidate beside ``ours``."""
    scale = {"ms": 1e3, "us": 1e6}[unit]
    print(f"\n{title}")
    print(f"  {'':46} {'median':>10}     beside ours")
    for name, values in samples.items():
        print(f"  {name:46} {median(values) * scale:10.2f} {unit}  x {ratio(samples, name, ours):.2f}")
