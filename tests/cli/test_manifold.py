"""``hotbandd manifold``: files in, the native generator's documents out."""

from __future__ import annotations

import gzip
import json
import math

import pytest

from tests.cli.candles import simulated, written
from tests.processes import hotbandd

GENERATOR_SETTINGS = {
    "ECHO_SIGNATURE_PRECISION": "SIGNATURE_PRECISION",
    "ECHO_LOOKBACK_MINUTES": "SESSION_PATTERN_LOOKBACK_MIN",
}


@pytest.fixture(scope="module")
def day() -> str:
    return written(simulated("EUR_USD", 1))


def differing(ours, theirs, path="$"):
    """Iterate over the places where two documents differ, numbers by more than a millionth."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and ours.keys() == theirs.keys():
        for key in theirs:
            yield from differing(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from differing(*pair, f"{path}[{i}]")
    elif isinstance(theirs, float) and isinstance(ours, int | float):
        if not math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6):
            yield f"{path}: {ours}, not {theirs}"
    elif ours != theirs:
        yield f"{path}: {ours}, not {theirs}"


@pytest.mark.shared_data
@pytest.mark.parametrize(("file", "least"), [("manifolds_real_and_edge", 45), ("manifolds_synthetic", 80)])
def test_the_native_profile_repeats_the_generators_documents(cli, tmp_path, shared_data, file, least):
    met = 0
    with gzip.open(shared_data / f"golden/{file}.jsonl.gz", "rt") as lines:
        for case in map(json.loads, lines):
            settings = {GENERATOR_SETTINGS[name]: value for name, value in case["env"].items()}
            if not all(value.isdecimal() for value in settings.values()):
                continue  # the generator takes fractions of a decimal, our settings refuse them
            (tmp_path / "input.json").write_text(json.dumps(case["input"]))
            ended = cli("manifold", "--input", "input.json", "--profile", "native", **settings)
            assert ended.code == 0, (case["name"], ended.err)
            assert not list(differing(json.loads(ended.out), case["native"])), case["name"]
            met += 1
    assert met >= least


def test_plain_gzipped_and_piped_candles_give_the_same_document(tmp_path, day):
    (tmp_path / "EUR_USD_M1.csv").write_text(day)
    (tmp_path / "EUR_USD_M1.csv.gz").write_bytes(gzip.compress(day.encode()))
    plain = hotbandd(tmp_path, "manifold", "--input", "EUR_USD_M1.csv")
    packed = hotbandd(tmp_path, "manifold", "--input", "EUR_USD_M1.csv.gz", "--output", "out/day.json")
    piped = hotbandd(tmp_path, "manifold", "--input", "-", "--instrument", "EUR_USD", stdin=day.encode())
    assert (plain.code, packed.code, piped.code) == (0, 0, 0)
    assert plain.err == packed.err == piped.err == packed.out == ""
    assert plain.out == piped.out == (tmp_path / "out/day.json").read_text()
    document = json.loads(plain.out)
    assert document["instrument"] == "EUR_USD"
    assert document["count"] == day.count("\n") - 1
    assert len(document["signals"]) > 1000


def test_a_written_document_replaces_the_old_one_and_a_failure_leaves_it(cli, tmp_path, day):
    (tmp_path / "EUR_USD.csv").write_text(day)
    (tmp_path / "out.json").write_text("old")
    (tmp_path / "bad.csv").write_text("time_ms\n")
    assert cli("manifold", "--input", "bad.csv", "--output", "out.json").code == 1
    assert (tmp_path / "out.json").read_text() == "old"
    assert cli("manifold", "--input", "EUR_USD.csv", "--output", "out.json").code == 0
    assert json.loads((tmp_path / "out.json").read_text())["instrument"] == "EUR_USD"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["EUR_USD.csv", "bad.csv", "out.json"]


def test_the_settings_of_signatures_reach_the_document(cli, tmp_path, day):
    (tmp_path / "EUR_USD.csv").write_text(day)

    def signature(*words: str, **settings: str) -> str:
        return json.loads(cli("manifold", "--input", "EUR_USD.csv", *words, **settings).out)["signals"][-1][
            "repetition"
        ]["signature"]

    def decimals(text: str) -> set[int]:
        return {len(part.partition(".")[2]) for part in text.split("_")}

    assert decimals(signature("--kernel", "native")) == {1}
    assert decimals(signature("--profile", "native")) == {2}
    assert decimals(signature("--profile", "native", SIGNATURE_PRECISION="3")) == {3}
    assert signature() != signature(SIGNATURE_LEVELS="9")
