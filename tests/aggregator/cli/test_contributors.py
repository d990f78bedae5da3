"""`medforge contributors` and the pages: who was invited, and until when."""

import json
from datetime import timedelta
from pathlib import Path

from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import Contributor
from medforge.aggregator.page.site import Site
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.proto.certificates import now, spell_time
from tests.aggregator.serving import FAST


def run(*words: object) -> str:
    result = CliRunner().invoke(build_app(), list(map(str, words)), env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_everybody_is_shown_with_the_end_of_their_kit(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    kits = {
        name: invite(forge, name, "forge.example.org:1", tmp_path / name, days)
        for name, days in (("far", 400), ("near", 12), ("gone", 90))
    }
    kits["over"] = invite(forge, "over", "forge.example.org:1", tmp_path / "over", ends=now() - timedelta(hours=1))
    forge.ledger.invite(Contributor("old", b"k" * 32, "c" * 64, "2026-01-01T00:00:00Z"))
    kits["far"] = invite(forge, "far", "forge.example.org:1", tmp_path / "far2", 500, overlap=timedelta(days=3))
    until = spell_time(now() + timedelta(days=3))[:10]
    kits["gone"] = invite(forge, "gone", "forge.example.org:1", tmp_path / "gone2", overlap=timedelta(days=3))
    forge.ledger.revoke("gone")
    site = Site(forge)
    site.update()
    page = site.read("contributors.html")
    forge.close()
    day = {name: kit.card.expires[:10] for name, kit in kits.items()}
    lines = {line.split()[0]: line for line in run("contributors", "--forge", forge.directory).splitlines()}
    assert lines["far"].endswith(f"kit ends {day['far']}  earlier kit until {until}")
    assert lines["near"].endswith(f"kit ends {day['near']}, in 11 days")
    assert lines["over"].endswith(f"kit ended {day['over']}")
    assert lines["old"].endswith("end of the kit unknown")
    assert "revoked" in lines["gone"]
    told = json.loads(run("contributors", "--forge", forge.directory, "--json"))
    ends: dict[str, str | None] = {name: kit.card.expires for name, kit in kits.items()}
    assert {one["contributor"]: one["expires"] for one in told} == ends | {"old": None}
    assert {one["contributor"] for one in told if one["earlier_until"]} == {"far"}
    assert page is not None
    assert f'<td data-label="kit ends">{day["near"]}</td>' in page.decode()
    assert page.decode().count('<span class="quiet">unknown</span>') == 1
