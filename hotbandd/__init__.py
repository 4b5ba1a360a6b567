"""hotband: which FX instruments may be traded, how much of the book each may take, and why."""
