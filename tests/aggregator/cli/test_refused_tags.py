"""A tag that the forge has not signed is named, and spoils nothing else."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from medforge.aggregator.forge.forge import Forge
from medforge.cli import build_app
from medforge.proto.errors import NotAllowed
from tests.aggregator.altering import alter_tags

REASON = "tag 'before-south' is not signed by the forge's key"


@pytest.fixture(scope="module")
def altered(eventful: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forge in whose ledger somebody moved one of two tags."""
    directory = tmp_path_factory.mktemp("altered") / "forge"
    shutil.copytree(eventful, directory)
    forge = Forge.open(directory)
    digests = [commit.digest for _, commit in forge.ledger.commits()]
    alter_tags(forge.ledger, digests[0], digests[1])
    forge.close()
    return directory


def run(forge: Path, *words: str) -> Result:
    result = CliRunner().invoke(build_app(), [*words, "--forge", str(forge)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("words", [("log",), ("log", "--graph"), ("show", "v1.0"), ("tag", "--list")])
def test_one_bad_tag_is_named_and_the_rest_is_shown(altered: Path, words: tuple[str, ...]) -> None:
    result = run(altered, *words)
    assert f"warning: {REASON}" in result.stderr
    assert "v1.0" in result.stdout
    assert "before-south" not in result.stdout
    told = json.loads(run(altered, *words, "--json").stdout)
    assert list(told.pop("refused_tags")) == ["before-south"]
    assert "v1.0" in json.dumps(told)
    assert "before-south" not in json.dumps(told)


def test_only_what_names_it_is_refused(altered: Path, tmp_path: Path) -> None:
    run(altered, "checkout", "--commit", "v1.0", "--out", str(tmp_path / "model"))
    run(altered, "tag", "more", "1")
    for words in (("show", "before-south"), ("diff", "before-south", "head", "--no-weights")):
        with pytest.raises(NotAllowed, match=REASON):
            run(altered, *words)


def test_good_tags_are_not_spoken_of(eventful: Path) -> None:
    result = run(eventful, "log")
    assert "warning" not in result.stderr
    assert "refused_tags" not in json.loads(run(eventful, "log", "--json").stdout)
