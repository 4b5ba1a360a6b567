"""Slots: UTC multiples of an interval, and when each of them is due."""

from __future__ import annotations


def slot_at_or_before(now_ms: int, interval_sec: int) -> int:
    """Return the newest slot that is not in the future, UTC epoch ms."""
    return now_ms - now_ms % (interval_sec * 1000)


def due_slot(now_ms: int, interval_sec: int, lag_sec: float) -> int:
    """Return the newest slot that is due: a slot runs ``lag_sec`` after itself, so that its candles can arrive.

    Start-up and manual triggers do not wait for the lag: they take ``slot_at_or_before``.
    """
    return slot_at_or_before(now_ms - _milliseconds(lag_sec), interval_sec)


def next_slot(now_ms: int, interval_sec: int, lag_sec: float) -> int:
    """Return the first slot that becomes due after a moment."""
    return due_slot(now_ms, interval_sec, lag_sec) + interval_sec * 1000


def before_latest(now_ms: int, interval_sec: int, lag_sec: float) -> int:
    """Return a moment from which the next slot is the latest past one: where a start begins."""
    return min(now_ms, due_at(slot_at_or_before(now_ms, interval_sec), lag_sec)) - 1


def due_at(slot_ms: int, lag_sec: float) -> int:
    """Return the moment at which a slot runs, UTC epoch ms."""
    return slot_ms + _milliseconds(lag_sec)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
