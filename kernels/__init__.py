"""Numerical kernels of hotband: arrays in, arrays or named tuples out; no I/O, clock, environment or state."""
