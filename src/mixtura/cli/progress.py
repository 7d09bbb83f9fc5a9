"""Progress of a fit: shown while it runs, and the best model so far kept for Ctrl-C."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mixtura.cli.voice import stderr
from mixtura.report.numbers import seconds

__all__ = ["Watcher", "watching"]

#: Width of the bar of rows.
WIDE = 30


class Watcher:
    """Called by the search after each iteration and each trial.

    Attributes
    ----------
    trials : list of Trial
        Those that ended, in order.
    stopped : bool
        Whether Ctrl-C was pressed; the next call then raises KeyboardInterrupt again, in case
        the first was lost in code that swallows exceptions.
    """

    def __init__(self, display: Any) -> None:
        self.display = display
        self.trials: list[Any] = []
        self.stopped = False
        self._best: tuple[Any, Any] | None = None
        self._latest: Any = None

    def __call__(self, progress: Any) -> None:
        if progress.finished is not None:
            self._finished(progress)
        else:
            self._latest = progress
        self.display.update(progress)
        if self.stopped:
            raise KeyboardInterrupt

    def _finished(self, progress: Any) -> None:
        trial = progress.finished
        self.trials.append(trial)
        self._latest = None
        bound = math.inf if self._best is None else self._best[0].bic
        if trial.error is None and trial.bic < bound:
            self._best = (trial, progress.mixture())

    def best(self) -> tuple[Any, Any, Any] | None:
        """The best so far: (mixture, its trial or None, its progress or None)."""
        if self._best is not None:
            return self._best[1], self._best[0], None
        if self._latest is not None:
            return self._latest.mixture(), None, self._latest
        return None


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """A watcher with the display that suits standard error; Ctrl-C is noted in it."""
    console = stderr()
    display = Silent() if quiet else Live(console) if console.is_terminal else Lines(console)
    watcher = Watcher(display)

    def stop(*_: Any) -> None:
        watcher.stopped = True
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not in the main thread, where no signal comes either
        previous = None
    try:
        with display:
            yield watcher
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def update(self, progress: Any) -> None:
        """Nothing to do."""

    def rows(self, done: int, n: int | None) -> None:
        """Rows of this pass that were read, of so many if that is known."""


class Lines(Silent):
    """For logs and pipes: a line when a trial ends, and every so often in long ones."""

    first, every = 2.0, 10.0

    def __init__(self, console: Any) -> None:
        self.console = console
        self.last = time.monotonic() + self.first - self.every

    def update(self, progress: Any) -> None:
        now = time.monotonic()
        trial = progress.finished
        if trial is None and now - self.last < self.every:
            return
        self.last = now
        place = _place(progress)
        if trial is None:
            left = (
                "" if progress.remaining is None else f", about {seconds(progress.remaining)} left"
            )
            text = (
                f"{place} {_tried(progress)}: iteration {progress.n_iter}, log-likelihood "
                f"{progress.log_likelihood:.4f} per row, {seconds(progress.elapsed)} so far{left}"
            )
        elif trial.error is not None:
            text = f"{place} {_tried(trial)}: failed ({trial.error})"
        else:
            text = (
                f"{place} {_tried(trial)}: BIC {trial.bic:,.1f}, log-likelihood "
                f"{trial.log_likelihood:.4f} per row ({trial.n_iter} iterations, "
                f"{seconds(trial.seconds)})"
            )
        self.console.print(text, soft_wrap=True)

    def rows(self, done: int, n: int | None) -> None:
        """A line every so often."""
        now = time.monotonic()
        if now - self.last < self.every:
            return
        self.last = now
        self.console.print(f"read {done:,}" + (" rows" if n is None else f" of {n:,} rows"))


class Live(Silent):
    """For terminals: one line that changes in place."""

    def __init__(self, console: Any) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        narrow = Column(no_wrap=True, overflow="ellipsis")
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=narrow),
            console=console,
            transient=True,
            refresh_per_second=8,
        )
        self.best = math.inf
        self.bar: Any = None

    def __enter__(self) -> Live:
        self.progress.start()
        self.task = self.progress.add_task("starting", total=None)
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()

    def update(self, progress: Any) -> None:
        trial = progress.finished
        if trial is not None and trial.error is None and trial.bic < self.best:
            self.best = trial.bic
        if progress.remaining is not None:
            clock = f"{seconds(progress.remaining)} left"
        else:
            clock = f"{seconds(progress.elapsed)} so far"
        # The line is cut where the terminal ends: what matters most comes first.
        parts = [
            f"{_place(progress)} {_tried(progress)}",
            f"log-lik {progress.log_likelihood:.4f}",
            clock,
            f"iteration {progress.n_iter}",
        ]
        if self.best < math.inf:
            parts.append(f"best BIC {self.best:,.1f}")
        self.progress.update(self.task, description=" · ".join(parts))

    def rows(self, done: int, n: int | None) -> None:
        """A bar of the rows of this pass, below."""
        if self.bar is None:
            self.bar = self.progress.add_task("", total=n)
        text = f"{done:,} rows read"
        if n is not None:
            full = WIDE * done // n
            text = f"{'━' * full}{'╌' * (WIDE - full)} {done:,} of {n:,} rows"
        self.progress.update(self.bar, description=text)


def _place(progress: Any) -> str:
    """``[3/24]``; the planned number shrinks as structures are given up."""
    return f"[{progress.trial + 1}/{max(progress.n_trials, progress.trial + 1)}]"


def _tried(what: Any) -> str:
    """``3 components, full``."""
    return f"{what.n_components} component{'s' * (what.n_components != 1)}, {what.covariance_type}"
