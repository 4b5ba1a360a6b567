"""Slow, obvious twins of the kernels: one window at a time, plain Python."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise


def encode(close, high, low, volume):
    bits = []
    for i in range(1, len(close)):
        wider = high[i] - low[i] >= high[i - 1] - low[i - 1]
        busier = volume[i] >= volume[i - 1]
        bits.append(int(close[i] >= close[i - 1] and (wider or busier)))
    return bits


def _events(bits):
    kinds = Counter(a + b if a == b else 1 for a, b in pairwise(bits))
    k = len(bits) - 1
    return kinds[0] / k, kinds[1] / k, kinds[2] / k


def _entropy(shares):
    bits = -sum(p * math.log2(p) for p in shares if p > 0)
    return min(1.0, max(0.05, bits / 1.585))


def path(bits):
    n0, f, r = _events(bits[:20])
    rate = min(1.0, max(0.01, 0.30 * _entropy((n0, f, r)) + 0.20 * _entropy((n0, f, r))))
    points = [float(bits[0])]
    total = 0.0
    for k in range(1, len(bits)):
        total += (bits[k] - bits[0]) * math.exp(-rate * k)
        points.append(total)
    return points


def likeness(points):
    m, first, last = len(points), points[0], points[-1]
    shapes = [
        [first * math.exp(-0.1 * i) for i in range(m)],
        [first + (last - first) * i / (m - 1) for i in range(m)],
        [(first + last) / 2 + (last - first) / 2 * math.sin(2 * math.pi * i / m) for i in range(m)],
    ]
    return min(1.0, max(0.0, *(_cosine(points, shape) for shape in shapes)))


def _cosine(a, b):
    scale = math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / scale if scale else 0.0


def native(bits):
    """C, S, H, R of one window of bits."""
    shares = _events(bits)
    _, f, r = shares
    h = _entropy(shares)
    c = min(0.99, max(0.01, 0.6 * (1 - h) + 0.3 * (1 - r) + 0.1 * (1 - f)))
    if len(bits) > 10:
        points = path(bits)
        c = 0.7 * c + 0.3 * likeness(points)
        if abs(points[-1]) < 2:
            c /= 1 + 0.1 * abs(points[-1])
    return min(1.0, max(0.0, c)), 1 - r, h, r


def calibrated(closes):
    """C, S, H, R of one window of m + 1 closes."""
    m = len(closes) - 1
    r = [math.log(b / a) for a, b in pairwise(closes)]
    if sum(x != 0 for x in r) < m / 4:
        return 0.0, 0.5, 1.0, 0.0
    length = math.sqrt(math.fsum(x * x for x in r))
    c = math.erf(abs(math.log(closes[-1] / closes[0])) / length / math.sqrt(2))
    size = m // 8
    block = [math.log(closes[k + size] / closes[k]) for k in range(0, m, size)]
    a = [x * y for x, y in pairwise(block)]
    scale = math.sqrt(math.fsum(x * x for x in a))
    s = (1 + math.erf(math.fsum(a) / scale / math.sqrt(2))) / 2 if scale else 0.5
    signs = [x > 0 for x in r if x != 0]
    x = max(0.0, _psi2(signs, 3) - _psi2(signs, 2)) / 2
    h = math.exp(-x) * (1 + x)
    squares = [x * x for x in r]
    mean = math.fsum(squares) / m
    kappa = math.sqrt(math.fsum((q - mean) ** 2 for q in squares) / m)
    u1 = kolmogorov(_excursion(r) / length)
    u2 = kolmogorov(_excursion(squares) / (kappa * math.sqrt(m))) if kappa > 0.01 * mean else 0.0
    return c, s, h, max(u1, u2) ** 2


def _psi2(signs, w):
    t = len(signs) - w + 1
    words = Counter(tuple(signs[i : i + w]) for i in range(t))
    return 2**w / t * sum(n * n for n in words.values()) - t


def _excursion(values):
    total, m = math.fsum(values), len(values)
    return max(abs(math.fsum(values[:k]) - k / m * total) for k in range(1, m + 1))


def kolmogorov(x):
    """The distribution function, from its theta series."""
    if x < 0.05:
        return 0.0
    terms = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * x * x)) for k in range(1, 60))
    return math.sqrt(2 * math.pi) / x * math.fsum(terms)


def texture(bits, rupture):
    m = len(bits)

    def kept(lag):
        return sum(bits[i] == bits[i - lag] for i in range(lag, m)) / (m - lag) if m > lag else 0.0

    def walls(part):
        return sum(a != b for a, b in pairwise(part)) / (len(part) - 1) if len(part) > 1 else 0.0

    tau_slope = (kept(4) - kept(1)) / 3
    slope = walls(bits[m // 2 :]) - walls(bits[: m // 2]) if m >= 3 else 0.0
    return {
        "coherence_tau_1": kept(1),
        "coherence_tau_4": kept(4),
        "coherence_tau_slope": tau_slope,
        "domain_wall_ratio": walls(bits),
        "domain_wall_slope": slope,
        "spectral_lowf_share": low_frequency_share(bits),
        "reynolds_ratio": rupture / abs(slope) if abs(slope) > 1e-6 else 0.0,
        "temporal_half_life": math.log(2) / abs(tau_slope) if abs(tau_slope) > 1e-6 else 0.0,
        "spatial_corr_length": 1 / abs(slope) if abs(slope) > 1e-6 else 0.0,
        "pinned_alignment": 1.0,
    }


def low_frequency_share(bits):
    m = len(bits)
    mean = sum(bits) / m
    power = []
    for k in range(1, m // 2 + 1):
        re = math.fsum((b - mean) * math.cos(2 * math.pi * k * i / m) for i, b in enumerate(bits))
        im = math.fsum((b - mean) * math.sin(2 * math.pi * k * i / m) for i, b in enumerate(bits))
        power.append(re * re + im * im)
    total = sum(power)
    return sum(power[: max(1, m // 2 // 4)]) / total if m >= 4 and total > 1e-12 else 0.0


def crossing_hazard(rupture, window):
    result = []
    for i in range(len(rupture)):
        run = rupture[max(0, i - window + 1) : i + 1]
        crossings = sum(a < 0.95 <= b for a, b in pairwise(run))
        result.append(1 - math.exp(-crossings / len(run)))
    return result


def event_hazard(rupture, t_ms, window):
    result = []
    for i in range(len(rupture)):
        first = max(0, i - window + 1)
        seconds = (t_ms[i] - t_ms[first]) / 1000
        rate = math.fsum(rupture[first + 1 : i + 1]) / seconds if seconds else 0.0
        result.append(min(1.0, 1 - math.exp(-60 * rate)))
    return result


def sigma_eff(close):
    r = [math.log(b / a) for a, b in pairwise(close) if a > 0 and b > 0]
    if len(close) < 3 or len(r) < 2:
        return 0.0
    mean = math.fsum(r) / len(r)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in r) / (len(r) - 1))
