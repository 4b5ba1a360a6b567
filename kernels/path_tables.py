"""Tables of the damped path: what eight bits add to its sums, by their place in the window, λ, and their value."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from kernels.types import Bits, Floats, Ints

SHAPE_DECAY: Final = 0.1
MEMORY: Final = 26.0  # a bit so many decay times back moves a path by less than 1e-11 of what the first one did
_FIRST_ONE = np.array(
    [1 + next((r for r in range(8) if octet >> r & 1), np.inf) for octet in range(256)]
)  # step, by octet


class Rates(NamedTuple):
    """Values of λ, with the latest step at which a window of that λ can first differ from its first bit; float64[rows].

    Rows whose paths move longest come first.
    """

    rate: Floats
    latest: Floats


class Columns(NamedTuple):
    """What an octet adds to each sum over a path, and twice its own Σ c_j, c_j its damped sum up to bit j; float64[entries]."""

    end: Floats
    square: Floats
    plain: Floats
    ramp: Floats
    decay: Floats
    sine: Floats
    twice: Floats


class PathTables:
    """Columns for windows of m bits, filled for the rows that are asked for.

    Entry ``starts[j] + 256 * row + octet`` is of octet j, the steps 8j + 1 … 8j + 8 of a window; ``lengths``: steps in it. ``octets``: how
    many of them a window needs, by 256 * row + its first octet, turned so that a 1 differs from the window's first bit; ``rest``:
    steps past so many octets.
    """

    def __init__(self, m: int, rates: Rates) -> None:
        self.m = m
        self._rates = rates
        differs = np.minimum(_FIRST_ONE, rates.latest[:, None])
        steps = np.minimum(m - 1, np.ceil(differs + MEMORY / rates.rate[:, None]))
        needed = np.ceil(steps / 8.0)
        self.octets: Bits = needed.astype(np.uint8).ravel()
        self._most: Ints = needed.max(axis=1).astype(np.int64)
        numbers = np.arange(int(self._most.max()))
        rows_at = np.count_nonzero(self._most[None, :] > numbers[:, None], axis=1)
        self.starts: Ints = np.concatenate(([0], np.cumsum(rows_at * 256)[:-1]))
        self.lengths: Floats = np.minimum(8.0, (m - 1) - 8.0 * numbers)
        self.rest: Floats = np.maximum(0.0, (m - 1) - 8.0 * np.arange(len(numbers) + 1))
        self.columns = Columns(*np.zeros((len(Columns._fields), int(rows_at.sum()) * 256)))
        self._filled = np.zeros(len(rates.rate), dtype=np.bool_)
        self._undamped = _undamped(m)

    def fill(self, rows: Ints) -> None:
        """Fill in what the windows of these rows look up."""
        asked = np.bincount(rows, minlength=len(self._filled)) > 0 if len(rows) > 1 else rows
        wanted = np.flatnonzero(asked & ~self._filled) if len(rows) > 1 else rows[~self._filled[rows]]
        for row in wanted.tolist():
            self._fill_row(row)
            self._filled[row] = True

    def _fill_row(self, row: int) -> None:
        """Build by doubling: a value with one more bit adds that bit's share. Bits past the last step have none."""
        octets = int(self._most[row])
        damping = np.exp(-self._rates.rate[row] * np.arange(1, octets * 8 + 1)).reshape(octets, 8, 1)
        undamped = self._undamped[: octets * 8].reshape(octets, 8, -1)
        table = np.zeros((octets, 256, len(Columns._fields)))
        inner = np.zeros((octets, 256, 8))
        there = (np.arange(1, octets * 8 + 1) < self.m).reshape(octets, 1, 8)
        follows = np.tri(8).T
        for r in range(8):
            old, new = slice(0, 1 << r), slice(1 << r, 2 << r)
            table[:, new] = table[:, old] + (damping[:, r] * undamped[:, r])[:, None]
            inner[:, new] = inner[:, old] + damping[:, r, :, None] * follows[r] * there
        table[..., Columns._fields.index("square")] = np.square(inner).sum(axis=2)
        table[..., Columns._fields.index("twice")] = 2.0 * inner.sum(axis=2)
        for j in range(octets):
            entries = slice(int(self.starts[j]) + 256 * row, int(self.starts[j]) + 256 * row + 256)
            for column, values in zip(self.columns, table[j].T, strict=True):
                column[entries] = values


def _undamped(m: int) -> Floats:
    """Return what a bit at each step adds to the linear sums, undamped: the weights of the steps from it on, float64[8·octets, 7]."""
    j = np.arange(1, m, dtype=np.float64)
    weights = {
        "plain": np.ones(m - 1),
        "ramp": j,
        "decay": np.exp(-SHAPE_DECAY * j),
        "sine": np.sin(2.0 * np.pi * j / m),
    }
    undamped = np.zeros((-(-(m - 1) // 8) * 8, len(Columns._fields)))
    undamped[: m - 1, Columns._fields.index("end")] = 1.0
    for name, weight in weights.items():
        undamped[: m - 1, Columns._fields.index(name)] = np.cumsum(weight[::-1])[::-1]
    return undamped
