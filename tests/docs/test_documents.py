"""What the documents tell people to type and to follow exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from hotbandd.cli.app import app
from hotbandd.settings import TABLE, load

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
NAMES = {each.name for each in TABLE.values()}
READ_FROM_A_FILE = re.compile("OANDA_API_KEY_FILE=")


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fenced(path: Path) -> list[str]:
    """Return the blocks of shell commands and settings of a document."""
    return re.findall(r"^ *```(?:sh|bash)\n(.*?)^ *```", path.read_text(), re.M | re.S)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_link_leads_somewhere(path):
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", path.read_text())
    broken = []
    for target in targets:
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_command_and_option_exists(path):
    unknown = [found for block in fenced(path) for words in commands(block) if (found := wrong(words))]
    assert unknown == []


def commands(block: str) -> list[list[str]]:
    """Return the words that follow each ``hotbandd`` of a block."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True) if line.count("'") % 2 == 0 else []
        if words[:1] == ["systemctl"]:  # the unit of that name
            continue
        while "hotbandd" in words:
            words = words[words.index("hotbandd") + 1 :]
            end = next(
                (i for i, word in enumerate(words) if word in {"&&", "|", ";", "||", ">", "hotbandd"}), len(words)
            )
            found.append(words[:end])
    return found


def wrong(words: list[str]) -> str | None:
    """Return what of a command there is not."""
    command = typer.main.get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        if rest[0] == "--help":
            return None
        if rest[0] not in command.commands:
            return " ".join(words)
        command = command.commands[rest.pop(0)]
    options = {option for each in command.params for option in each.opts} | {"--help"}
    given = [word.partition("=")[0] for word in rest if word.startswith("--")]
    return " ".join(words) if set(given) - options else None


def test_a_wrong_command_would_be_found():
    block = "hotbandd trails x.yaml && hotbandd report --day 14\nhotbandd kill engage  # hotbandd nothing"
    assert [wrong(words) is None for words in commands(block)] == [False, False, True]


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_setting_that_is_shown_is_accepted(path):
    for block in fenced(path):
        lines = [line.strip() for line in block.splitlines()]
        shown = [line for line in lines if line.partition("=")[0] in NAMES and not READ_FROM_A_FILE.match(line)]
        alone = [line for line in shown if re.fullmatch(r"[A-Z_]+=(\S+|'[^']*')", line)]
        load({}, "\n".join(alone))
