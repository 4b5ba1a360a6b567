"""A plain version of the kernels: numpy within a window, a loop over windows. What one would write first."""

from __future__ import annotations

import numpy as np
from scipy.special import erf, gammaincc, kolmogorov, ndtr

from kernels.types import Bits, Floats


def calibrated(close: Floats) -> tuple[float, float, float, float]:
    """Measure one window of m + 1 closes."""
    m = len(close) - 1
    r = np.diff(np.log(close))
    length = np.sqrt(np.sum(r * r))
    if np.count_nonzero(r) < m / 4:
        return 0.0, 0.5, 1.0, 0.0
    c = float(erf(abs(r.sum()) / length / np.sqrt(2.0)))
    blocks = r.reshape(8, -1).sum(axis=1)
    a = blocks[1:] * blocks[:-1]
    scale = np.sqrt(np.sum(a * a))
    s = float(ndtr(a.sum() / scale)) if scale else 0.5
    signs = (r[r != 0] > 0).astype(np.int64)
    h = float(gammaincc(2.0, max(0.0, _psi2(signs, 3) - _psi2(signs, 2)) / 2.0))
    q = r * r
    kappa = q.std()
    share = np.arange(1, m + 1) / m
    u1 = np.max(np.abs(np.cumsum(r) - share * r.sum())) / length
    u2 = np.max(np.abs(np.cumsum(q) - share * q.sum())) / (kappa * np.sqrt(m)) if kappa > 0.01 * q.mean() else 0.0
    return c, s, h, float(1.0 - kolmogorov(max(u1, u2))) ** 2


def _psi2(signs: Bits, w: int) -> float:
    size = len(signs) - w + 1
    words = sum(signs[k : k + size] << (w - 1 - k) for k in range(w))
    counts = np.bincount(words, minlength=2**w)
    return float(2**w / size * np.sum(counts * counts) - size)


def native(bits: Bits) -> tuple[float, float, float, float]:
    """Measure one window of m > 10 bits."""
    r, f, h = _events(bits)
    base = np.clip(0.6 * (1.0 - h) + 0.3 * (1.0 - r) + 0.1 * (1.0 - f), 0.01, 0.99)
    head = _events(bits[:20])[2]
    rate = np.clip(0.5 * head, 0.01, 1.0)
    m, steps = len(bits), np.arange(len(bits))
    path = np.cumsum((bits - float(bits[0])) * np.exp(-rate * steps)) + bits[0]
    path[1:] -= bits[0]
    first, last = path[0], path[-1]
    shapes = (
        first * np.exp(-0.1 * steps),
        first + (last - first) * steps / (m - 1),
        (first + last) / 2 + (last - first) / 2 * np.sin(2 * np.pi * steps / m),
    )
    norm = np.linalg.norm(path)
    likeness = [
        float(path @ shape / (norm * size)) if (size := np.linalg.norm(shape)) and norm else 0.0 for shape in shapes
    ]
    c = 0.7 * base + 0.3 * min(1.0, max(0.0, *likeness))
    if abs(last) < 2:
        c /= 1.0 + 0.1 * abs(last)
    return float(c), float(1.0 - r), float(h), float(r)


def _events(bits: Bits) -> tuple[float, float, float]:
    pairs = bits[1:].astype(np.int64) + bits[:-1]
    shares = np.bincount(pairs, minlength=3) / len(pairs)
    known = shares[shares > 0]
    h = float(np.clip(-np.sum(known * np.log2(known)) / 1.585, 0.05, 1.0))
    return float(shares[2]), float(shares[1]), h


def texture(bits: Bits, rupture: float) -> tuple[float, ...]:
    """Measure the texture of one window of m bits."""
    m = len(bits)
    turns = bits[1:] != bits[:-1]
    tau_1, tau_4 = 1.0 - turns.mean(), float(np.mean(bits[4:] == bits[:-4]))
    tau_slope = (tau_4 - tau_1) / 3.0
    half = m // 2
    slope = float(turns[half:].mean() - turns[: half - 1].mean())
    power = np.abs(np.fft.rfft(bits - bits.mean())[1:]) ** 2
    total = power.sum()
    lowest = float(power[: m // 8].sum() / total) if total > 1e-12 else 0.0
    ratios = [
        n / abs(d) if abs(d) > 1e-6 else 0.0 for n, d in ((rupture, slope), (np.log(2.0), tau_slope), (1.0, slope))
    ]
    return (tau_1, tau_4, tau_slope, float(turns.mean()), slope, lowest, *ratios, 1.0)
