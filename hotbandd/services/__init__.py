"""The long loops of the daemon, one module each."""
