"""The documents: made ones are up to date, written ones are true."""
