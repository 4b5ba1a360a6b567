"""YAML that people write: read without running anything, faults told in one line with where they are."""

from __future__ import annotations

import pytest

from hotbandd.adapters import yaml_text
from hotbandd.errors import InputError

DOCUMENT = {"instruments": {"EUR_USD": {"params": {"c_min": 0.30000000000000004, "tp_bps": None, "strategy": "fade"}}}}


def test_what_was_written_reads_back() -> None:
    assert yaml_text.load(yaml_text.dump(DOCUMENT)) == DOCUMENT
    assert yaml_text.load(b"") is None


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a: [1\n", 2),
        (b"a: 1\nb: \xff\n", 2),
        (b"a: 1\na: 2\n", 2),
        (b"a: |\n  x\n  y\na: |\n  z\n", 4),
        (b"a: \x00", 1),
        (b"a: !!bool x", 1),
        (b'a: "\\U99999999"', 1),
        (b"a: !!python/object:os.system ls", 1),
        (b"a: " + b"[" * 5000, 1),
    ],
)
def test_a_fault_is_one_line_that_says_where_it_is(data: bytes, line: int) -> None:
    with pytest.raises(InputError) as fault:
        yaml_text.load(data)
    assert str(fault.value).startswith(f"line {line}: it is not ")
    assert "\n" not in str(fault.value)
