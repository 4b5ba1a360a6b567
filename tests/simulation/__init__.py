"""Weeks of the daemon in seconds: the real services over a store, a source and processes that fail as a seed has it."""
