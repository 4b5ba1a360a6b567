"""The calibrated family: each metric is the probability that a driftless walk with the same step sizes would show less of it.

Sums over steps come from price ratios where they can (a path that returns is exactly 0), from counts, or are taken step by step within each window,
so a result never depends on where the array begins.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf, ndtr

from kernels.types import Bits, Floats, Ints, Structure
from kernels.windows import count

_BLOCKS = 8
_STILL = 4  # a window with fewer than m / 4 moves is without movement
_STILL_READS = np.array([[0.0], [0.5], [1.0], [0.0]])
_SMALLEST = 16  # windows with movement hold words of three signs
_LARGEST = 248  # counts of words in a window fit in one byte
_KAPPA_FLOOR = 0.01
_ONE_OF = np.uint64(1) << (np.arange(8, dtype=np.uint64) << np.uint64(3))  # a word, counted in its byte
_FEWER_WORDS, _KINDS = np.array([[1], [2]]), np.array([[4.0], [8.0]])  # of two and three signs
_BLOCK = 4096  # windows that are worked on at once, so that their columns stay in the cache
_FEW = 64  # up to so many windows, one pass over all of them beats a pass per step


def structure(close: Floats, m: int, *, decimals: int | None = None) -> Structure:
    """Measure the windows of m returns of n positive closes, float64[n, …], w = n - m windows; m is a multiple of 8, 16 … 248.

    A window without movement (fewer than m / 4 non-zero steps) reads C = 0, S = ½, H = 1, R = 0. ``decimals``: round every
    metric to so many.
    """
    if m % _BLOCKS or not _SMALLEST <= m <= _LARGEST:
        raise ValueError(f"m is a multiple of {_BLOCKS} from {_SMALLEST} to {_LARGEST}, not {m}")
    if len(close) <= m:
        return Structure(*(np.zeros((0, *close.shape[1:])) for _ in Structure._fields))
    steps = log_ratio(close, 1)
    moves = count(steps != 0.0, m)
    at_once = max(1, _BLOCK // close[0].size)
    parts = [_moments(steps[i : i + at_once + m - 1], m) for i in range(0, len(moves), at_once)]
    length, break_at = (np.concatenate(column) for column in zip(*parts, strict=True))
    found = np.array(
        (
            _agreement(close, length, m),
            _persistence(close, m),
            _randomness(steps, moves, m),
            np.square(kolmogorov(break_at)),
        )
    )
    still = moves < m // _STILL
    if still.any():
        found[:, still] = _STILL_READS
    return Structure(*(found if decimals is None else found.round(decimals, out=found)))


def log_ratio(price: Floats, k: int) -> Floats:
    """Return ln(price_{i+k} / price_i), float64[n-k, …]; exactly 0 where the price is the same."""
    before = price[:-k]
    ratio: Floats = np.log1p((price[k:] - before) / before)
    return ratio


def _ratio(numerator: Floats, denominator: Floats | Ints) -> Floats:
    """Divide; 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def _agreement(close: Floats, length: Floats, m: int) -> Floats:
    """C = erf(z/√2), z = |Σr| / √Σr²."""
    z = _ratio(np.abs(log_ratio(close, m)), length)
    agreement: Floats = erf(z * np.sqrt(0.5))
    return agreement


def _persistence(close: Floats, m: int) -> Floats:
    """S = Φ(Σ a_k / √Σ a_k²), a_k the products of neighbouring block sums."""
    size = m // _BLOCKS
    windows = len(close) - m
    block = log_ratio(close, size)
    product = block[:-size] * block[size:]
    if windows * close[0].size <= _FEW:
        a = product[np.arange(0, m - size, size) + np.arange(windows)[:, None]]
        total, squares = a.cumsum(axis=1)[:, -1], np.square(a).cumsum(axis=1)[:, -1]
    else:
        total, squares = np.zeros((2, windows, *close.shape[1:]))
        for k in range(_BLOCKS - 1):
            a = product[k * size : k * size + windows]
            total += a
            squares += a * a
    persistence: Floats = ndtr(_ratio(total, np.sqrt(squares)))
    return persistence


def _randomness(steps: Floats, moves: Ints, m: int) -> Floats:
    """H = Q(2, (ψ²₃ - ψ²₂)/2): the serial test on the signs of the non-zero steps."""
    line = steps.T.ravel()  # one instrument after the other
    nonzero = line.nonzero()[0]
    up = (line[nonzero] > 0.0).view(np.uint8)
    begins = np.arange(len(moves)) + np.arange(0, len(line), len(steps))[:, None]
    first, n = nonzero.searchsorted(begins.ravel()), moves.T.ravel()
    psi2 = _psi2(up, first, n)
    x = np.maximum(psi2[1] - psi2[0], 0.0) / 2.0
    randomness: Floats = np.exp(-x) * (1.0 + x)
    return randomness.reshape(moves.T.shape).T


def _psi2(up: Bits, first: Ints, n: Ints) -> Floats:
    """Return ψ²_w = (2^w/T)·Σ count² - T for w = 2, 3 over the n signs from ``first`` on, float64[2, windows].

    T = n - w + 1 overlapping words; 0 where there are none. The counts of all words share one integer, a byte each; its prefix sums may wrap,
    for their differences do not.
    """
    pairs: Bits = (up[:-1] + up[:-1]) | up[1:]
    triples: Bits = (pairs[:-1] + pairs[:-1]) | up[2:]
    ends = np.array([[len(pairs)], [len(pairs) + len(triples)]])
    total = np.zeros(int(ends[-1, 0]) + 1, dtype=np.uint64)
    _ONE_OF.take(np.concatenate((pairs, triples))).cumsum(out=total[1:])
    words = np.maximum(n - _FEWER_WORDS, 0)
    start = np.minimum(first + np.array([[0], [len(pairs)]]), ends)
    packed = total[start + words] - total[start]
    counts = packed.view(np.uint8).reshape(2, len(n), 8).astype(np.uint16)
    counts *= counts
    psi2: Floats = _ratio(_KINDS * counts.sum(axis=2, dtype=np.int64), words) - words
    return psi2


def _moments(steps: Floats, m: int) -> tuple[Floats, Floats]:
    """Return of each window √Σr², and the larger of its two CUSUM statistics (of the mean, and of squares)."""
    squares = steps * steps
    windows = len(steps) - m + 1
    few = windows * steps[0].size <= _FEW
    powers = (steps, squares, squares * squares)
    if few:
        sum1, sum2, sum4 = _window_sum(np.array(powers).swapaxes(0, 1), m).swapaxes(0, 1)
    else:
        sum1, sum2, sum4 = (_window_sum(values, m) for values in powers)
    length = np.sqrt(sum2)
    mean2 = sum2 / m
    kappa = np.sqrt(np.maximum(sum4 / m - mean2 * mean2, 0.0))
    kappa *= kappa > _KAPPA_FLOOR * mean2
    if few:
        values = np.array((steps, squares)).swapaxes(0, 1)
        highest = _excursion_of_few(values, np.array((sum1 / m, mean2)).swapaxes(0, 1), m)
        of_mean, of_squares = highest[:, 0], highest[:, 1]
    else:
        of_mean, of_squares = _excursion(steps, sum1 / m, m), _excursion(squares, mean2, m)
    return length, np.maximum(_ratio(of_mean, length), _ratio(of_squares, kappa * np.sqrt(float(m))))


def _window_sum(values: Floats, m: int) -> Floats:
    """Sum each window of m values, float64[n, …], by halves, in an order that is the same for every window."""
    total: Floats | None = None
    done, size = 0, 1
    windows = len(values) - m + 1
    tree = values
    while True:
        if m & size:
            part = tree[done : done + windows]
            total = part if total is None else total + part
            done += size
        if 2 * size > m:
            return np.zeros((windows, *values.shape[1:])) if total is None else total
        tree = tree[: len(tree) - size] + tree[size:]
        size *= 2


def _excursion(values: Floats, mean: Floats, m: int) -> Floats:
    """Return max_k |Σ_{j ≤ k} (v_j - mean)| of each window, float64[w, …]; each sum runs in the order of the steps."""
    path, step = np.zeros(mean.shape), np.empty(mean.shape)
    high, low = np.zeros(mean.shape), np.zeros(mean.shape)
    for k in range(m - 1):
        np.subtract(values[k : k + len(mean)], mean, out=step)
        np.add(path, step, out=path)
        np.maximum(high, path, out=high)
        np.minimum(low, path, out=low)
    return np.maximum(high, -low)


def _excursion_of_few(values: Floats, mean: Floats, m: int) -> Floats:
    """Do as ``_excursion`` does, the steps of a window side by side."""
    places = np.arange(m - 1) + np.arange(len(mean))[:, None]
    paths = values[places] - mean[:, None]
    highest: Floats = np.abs(paths.cumsum(axis=1, out=paths), out=paths).max(axis=1)
    return highest


def kolmogorov(x: Floats) -> Floats:
    """Return the Kolmogorov distribution function of x >= 0, to 1e-14, from whichever of its two series ends sooner."""
    safe = np.maximum(x, 0.04)  # below it the value is under 1e-300
    square = safe * safe
    near = safe < 1.0
    # Σ q^{(2k-1)²} with q = e^{-π²/8x²} below 1, 1 - 2 Σ ± q^{k²} with q = e^{-2x²} above
    q = np.exp(np.where(near, -(np.pi**2) / 8.0 / square, -2.0 * square))
    q2 = q * q
    q4 = q2 * q2
    q8 = q4 * q4
    q16 = q8 * q8
    low = np.sqrt(2.0 * np.pi) / safe * (q + q * q8 + q * q8 * q16)
    high = 1.0 - 2.0 * (q - q4 + q * q8 - q16)
    distribution: Floats = np.where(near, low, high)
    return distribution
