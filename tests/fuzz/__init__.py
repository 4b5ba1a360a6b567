"""Bad input at every door: drawn at random, bounded with the suite, and as long as it takes with ``--full``."""
