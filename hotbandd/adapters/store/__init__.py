"""The store: the contract's documents over a small set of primitives, kept by Valkey or in memory."""
