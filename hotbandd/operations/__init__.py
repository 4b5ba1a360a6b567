"""One-shot jobs: a command of an operator each."""
