"""`--blobs`: refused before anything is written where it is none, or where the forge has its blobs elsewhere."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import InvalidInput


@pytest.mark.parametrize("command", [["serve", "--base", "medforge-tiny"], ["restore", "none.age", "--forge"]])
def test_what_is_no_address_is_refused_and_not_shown(tmp_path: Path, command: list[str]) -> None:
    forge = tmp_path / "forge"
    words = [*command, *([] if "--forge" in command else ["--forge"]), str(forge)]
    told = CliRunner().invoke(
        build_app(),
        words,
        env={"MEDFORGE_BLOBS": "s3://name:geheim@bucket/forge", "MEDFORGE_BACKUP_PASSPHRASE": "a long passphrase"},
    )
    assert isinstance(told.exception, InvalidInput)
    assert "write s3://BUCKET or s3://BUCKET/PREFIX" in str(told.exception)
    assert "geheim" not in str(told.exception) + told.output
    assert not forge.exists()


def test_a_forge_keeps_its_blobs_where_they_are(tmp_path: Path, tiny_base: BaseModule) -> None:
    Forge.establish(tmp_path / "forge", tiny_base, choose_settings()).close()
    with pytest.raises(InvalidInput, match="keeps its blobs in its own directory; leave --blobs out"):
        Forge.establish(tmp_path / "forge", tiny_base, choose_settings(), blobs="s3://bucket/forge")
    Forge.establish(tmp_path / "forge", tiny_base, choose_settings()).close()
