r"""The truncated engine: every row against few components, at a cost that does not grow with k.

With candidates Kₙ for row n, the truncated E-step is rₙₖ ∝ exp ℓₙₖ for k ∈ Kₙ and 0 else, and

    F = Σₙ log Σ_{k ∈ Kₙ} exp ℓₙₖ ≤ Σₙ log p(xₙ)

is what such an EM raises: the M-step for given candidates, and better candidates for a given model
(Lücke & Eggert 2010; Salwig et al. 2025, arXiv 2501.12299). Candidates are lists that blocks of
rows share (``fit.neighbourhoods``). Where new candidates leave F lower than it was, the pass is
made again with the old ones: F never falls. At the end one pass over all
components says what was dropped, exactly, and what is reported is the log-likelihood itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.fit.among import Passed, expectation, warm
from mixtura.fit.coarse import neighbourhoods
from mixtura.fit.everywhere import exact_loglik, likeliest
from mixtura.fit.neighbourhoods import Neighbourhoods, improved, introduced
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["Memory", "Truncated"]

#: Standard deviations by which a mean that no M-step moved is another component's.
JUMP = 2.0
#: Pairs of rows and components that a pass searches, for each one that it evaluates; the same while
#: components still move far.
SEARCHED, EARLY = 1.0, 4.0
#: Nats per row that are much to leave out.
MUCH = 1e-2
#: Proposals refused in a row after which candidates stay as they are.
REFUSED = 3


@dataclass(frozen=True, eq=False)
class Memory:
    """What goes from pass to pass."""

    #: Candidates for the next pass.
    now: Neighbourhoods
    #: Those of the last pass, its F and its model.
    before: Neighbourhoods
    loglik: float
    model: Any
    #: Where the M-step puts the means.
    means: FloatArray
    passes: int
    #: Pairs of a row, or of a component's mean, and a component, or the centre of some, that were
    #: evaluated to come here: in the start, in passes, those made again included, and in searches.
    pairs: int
    #: Half the squared distance of each row to its component, and whether it was searched for.
    far: FloatArray | None = None
    searched: FloatArray | None = None
    #: How many proposals of candidates in a row were refused.
    refused: int = 0

    @property
    def at_rest(self) -> bool:
        """Whether candidates are looked for no more."""
        return self.refused >= REFUSED

    def serves(self, model: Any, rows: Rows) -> bool:
        """Whether it belongs to these rows, and to this model but for an M-step."""
        if self.now.k != model.k or len(self.now.owner) != rows.n:
            return False
        apart = (model.means - self.means) ** 2 / model.covariance.diagonal()
        return not bool((apart.max(axis=1) > JUMP**2).any())


@dataclass(frozen=True)
class Truncated:
    """E-step over few candidates per row.

    Parameters
    ----------
    candidates : int
        Components that each row is held against.
    seed : int
        Of the search for candidates.
    batch_rows : int, optional
        Rows in a batch.

    Raises
    ------
    InputError
        For numbers below one; by ``expect``, for rows with gaps, noise, censored cells or a
        selection.
    """

    candidates: int = 32
    seed: int = 0
    batch_rows: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("candidates", 1), ("seed", 0), ("batch_rows", 1)):
            value = getattr(self, name)
            if value is None and name == "batch_rows":
                continue
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < least:
                raise InputError(
                    f"expected {name} of Truncated as a whole number of at least {least}, got "
                    f"{value!r}; Truncated(32) holds each row against 32 components"
                )

    @property
    def trials(self) -> int:
        """Candidates that are tried anew in each pass."""
        return self.candidates // 4

    def expect(self, model: Any, rows: Rows, memory: Any = None) -> tuple[Any, float, Any]:
        """Sufficient statistics, the truncated log-likelihood of all rows (nats), and memory.

        Raises
        ------
        InputError
            For rows that are not whole and exact.
        """
        if rows.channel is not None or rows.selection is not None:
            raise InputError(
                "expected whole and exact rows for engine='truncated', got gaps, noise, operators, "
                "limits of detection or a selection; use engine='dense'"
            )
        model.quickest(rows)  # before threads ask for it
        held = memory if isinstance(memory, Memory) and memory.serves(model, rows) else None
        if held is None:
            warm(model, rows)
            now, pairs = neighbourhoods(model, rows, self.candidates)
            pairs += memory.pairs if isinstance(memory, Memory) else 0
            held = Memory(now, now, -np.inf, None, model.means, 0, pairs)
        used, searched, refused, looked = held.now, held.searched, held.refused, 0
        if held.far is not None and not held.at_rest and self.candidates < model.k:
            used, searched, looked = self._searched(model, rows, held, held.far)
        found = self._pass(model, rows, used)
        worse = found.loglik < held.loglik and used is not held.before
        again = self._pass(model, rows, held.before) if worse else found
        if again.loglik > found.loglik:
            used, found, refused = held.before, again, refused + 1
        elif used is not held.before:
            refused = 0
        now, passes = used, held.passes + 1
        if refused < REFUSED:
            seed = 2**32 * self.seed + passes
            now = improved(used, found.shares, found.best, self.trials, seed)
        means = found.stats.means()
        pairs = held.pairs + looked + (1 + worse) * rows.n * used.lists.shape[1]
        after = Memory(
            now, used, found.loglik, model, means, passes, pairs, found.far, searched, refused
        )
        return found.stats, found.loglik, after

    def _searched(
        self, model: Any, rows: Rows, held: Memory, far: FloatArray
    ) -> tuple[Neighbourhoods, FloatArray, int]:
        """Owners anew, by all components, of rows explained worst; who was searched; pairs.

        Rows that were searched wait until the number of passes has doubled.
        """
        searched = held.searched
        if searched is None or held.passes & (held.passes - 1) == 0:
            searched = np.zeros(rows.n, dtype=bool)
        weightless = np.zeros(rows.n, dtype=bool) if rows.weight is None else rows.weight == 0
        far = np.where(searched | weightless, -np.inf, far)
        n = rows.n - int(np.count_nonzero(weightless))
        pairs = (EARLY if held.passes <= 2 else SEARCHED) * n * self.candidates
        count = min(n, int(np.ceil(pairs / model.k)))
        worst = np.argpartition(far, rows.n - count)[rows.n - count :]
        worst = np.sort(worst[far[worst] > 0.5 * model.d])
        if not len(worst):
            return held.now, searched, 0
        searched = searched.copy()
        searched[worst] = True
        first, second = likeliest(model, rows, worst)
        used = introduced(held.now, worst, first, second, self.trials)
        return used, searched, len(worst) * model.k

    def _pass(self, model: Any, rows: Rows, held: Neighbourhoods) -> Passed:
        return expectation(model, rows, held, self.batch_rows)

    def finish(self, rows: Rows, memory: Any) -> tuple[float, str]:
        """What truncation left out of the last log-likelihood, and a sentence that says it.

        Parameters
        ----------
        rows : Rows
        memory : what ``expect`` returned last

        Returns
        -------
        dropped : float
            Nats, of all rows with their weights: the exact log-likelihood of the model of the last
            pass, less the truncated one.
        note : str
            Empty where every component was evaluated.
        """
        model, total = memory.model, rows.total_weight
        dropped = exact_loglik(model, rows, memory.now) - memory.loglik
        width = memory.before.lists.shape[1]
        if width == model.k:
            return dropped, ""
        share = dropped / total
        note = (
            f"truncated EM: {width} of {model.k} components were evaluated per row; at the end "
            f"those left out held {max(share, 0.0):.2g} nats of the log-likelihood per row"
        )
        if share > MUCH:
            note += f"; Truncated({2 * width}) leaves out less"
        return dropped, note

    def loglik(self, model: Any, rows: Rows) -> float:
        """The exact log-likelihood of all rows (nats, weighted)."""
        return exact_loglik(model, rows)

    def for_chunks(self) -> Any:
        """None: candidates are kept for every row.

        Raises
        ------
        InputError
        """
        raise InputError(
            "expected engine='dense' or 'auto' with rows that are streamed, got 'truncated'; raise "
            "memory until the rows fit, or read them into an array"
        )
