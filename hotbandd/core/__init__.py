"""Decisions, pure: functions of candles, parameters, clock readings and earlier state."""
