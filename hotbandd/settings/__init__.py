"""Settings: declared once, loaded from texts, checked as a whole, frozen.

``load`` is pure; ``read_settings`` is what a command calls. Nothing is read at import time.
"""

from hotbandd.settings.declaration import Setting
from hotbandd.settings.example import example
from hotbandd.settings.instruments import DEFAULT_PAIRS, instrument, parse_pairs
from hotbandd.settings.kinds import DASK, Address, Threshold
from hotbandd.settings.loading import PREFIXES, Credentials, Loaded, Origin, load
from hotbandd.settings.reading import FILE_NAME, Inputs, read_environment, read_settings
from hotbandd.settings.secret import MASK, Secret
from hotbandd.settings.table import TABLE, Settings, Source

__all__ = [
    "DASK",
    "DEFAULT_PAIRS",
    "FILE_NAME",
    "MASK",
    "PREFIXES",
    "TABLE",
    "Address",
    "Credentials",
    "Inputs",
    "Loaded",
    "Origin",
    "Secret",
    "Setting",
    "Settings",
    "Source",
    "Threshold",
    "example",
    "instrument",
    "load",
    "parse_pairs",
    "read_environment",
    "read_settings",
]
