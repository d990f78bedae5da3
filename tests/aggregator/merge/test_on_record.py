"""What commits and forges have on record: taken as it is written, and shown without what a terminal obeys."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.settings import SETTINGS_FILE, read_settings
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.merge import Parameter, choose_settings, listing_of
from medforge.aggregator.merge.catalogue import METHODS
from medforge.aggregator.merge.methods import ties
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes
from medforge.registry import NOTE
from tests.aggregator.forges import branches, fold_all, open_main

ESCAPES = "\x1b[31m\x9b2J\r\u2028"


@pytest.fixture
def commit(tmp_path: Path, tiny_base: BaseModule) -> Commit:
    main = open_main(tmp_path / "made", tiny_base, choose_settings(method="ties", parameters={"density": 0.4}))
    fold_all(main, branches(tiny_base, 1))
    head = main.head()
    assert head is not None
    return head


@pytest.mark.parametrize(
    "change",
    [
        {"method": "ties" + ESCAPES},
        {"method": ""},
        {"method": "-ties"},
        {"method": "x" * 65},
        {"parameters": {"density" + ESCAPES: 0.4}},
        {"parameters": {"1density": 0.4}},
        {"parameters": {"density\n": 0.4}},
    ],
)
def test_names_that_a_terminal_would_obey_are_refused_also_on_record(commit: Commit, change: dict[str, object]) -> None:
    plain = json.loads(commit.content)
    content = canonical_json({**plain, "method": {**plain["method"], **change}})
    with pytest.raises(CorruptFile, match="cannot be read by this version"):
        Commit.parse(content, sha256_bytes(content))


def test_the_log_shows_no_escapes(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, choose_settings(method="ties"))
    ledger = main.forge.ledger
    first, second = branches(tiny_base, 2)
    fold_all(main, [first])
    main.forge.admit(second, tiny_base)
    ledger.hold(2, f"odd{ESCAPES}reason")
    head = main.head()
    assert head is not None
    # a peer's log need not be one that this version wrote
    forged = head.model_copy(
        update={"parent": head.digest, "contributor": f"a{ESCAPES}", "task": f"b{ESCAPES}", "members": (1, 3),
                "metrics": {f"c{ESCAPES}": head.metrics["task 0"]}, "arrival": 3, "branch": "0" * 64}
    )  # fmt: skip
    ledger.add_arrival("0" * 64, f"a{ESCAPES}", f"b{ESCAPES}", 1)
    ledger.add_commit(forged)
    main.forge.close()
    for words in ([], ["--held"], ["--journal"]):
        shown = CliRunner().invoke(build_app(), ["log", *words, "--forge", str(tmp_path)], catch_exceptions=False)
        assert shown.exit_code == 0
        assert not set(shown.stdout) & set("\x1b\x9b\r\u2028")
        assert "\N{REPLACEMENT CHARACTER}[31m" in "".join(shown.stdout.split()) or words == ["--journal"]


def test_a_parameter_that_came_later_changes_no_commit_and_gets_its_default_at_a_fold(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        change_parameters(older, {"density": listing_of("ties").parameters["density"]})
        settings = choose_settings(method="ties", parameters={"density": 0.4})
        assert settings.parameters == {"density": 0.4}
        forge = Forge.establish(tmp_path, tiny_base, settings)
        forge.close()
    older_commit = Commit.model_validate({**_any_commit(tiny_base), "method": settings.model_dump(mode="json")})
    assert Commit.parse(older_commit.content, older_commit.digest) == older_commit
    assert read_settings(tmp_path).method.parameters == {"density": 0.4}
    now = choose_settings(method="ties", parameters={"density": 0.4})
    main = open_main(tmp_path, tiny_base, now)
    fold_all(main, branches(tiny_base, 2))
    head = main.head()
    assert head is not None
    assert head.method.parameters == {"density": 0.4, "scale": 1.0}
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical"] * 2
    assert json.loads((tmp_path / SETTINGS_FILE).read_text())["method"]["parameters"] == {"density": 0.4}


def test_a_bound_that_was_narrowed_leaves_commits_readable_and_replayable(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = open_main(tmp_path, tiny_base, choose_settings(method="ties", parameters={"density": 0.9}))
    fold_all(main, branches(tiny_base, 2))
    main.forge.close()
    narrowed = {**listing_of("ties").parameters, "density": Parameter(0.2, 0.1, 0.5, "narrower")}
    change_parameters(monkeypatch, narrowed)
    forge = Forge.open(tmp_path)
    assert [commit.method.parameters["density"] for _, commit in forge.ledger.commits()] == [0.9, 0.9]
    assert [one.outcome for one in replay(forge, tiny_base)] == ["identical"] * 2
    forge.close()


def change_parameters(patch: pytest.MonkeyPatch, parameters: dict[str, Parameter]) -> None:
    """Let TIES say other parameters of itself, as another version of MedForge would."""
    noted = METHODS.noted(ties.merge)
    assert noted is not None
    patch.setattr(ties.merge, NOTE, replace(noted, listing=replace(noted.listing, parameters=parameters)))
    assert listing_of("ties").parameters == parameters


def _any_commit(base: BaseModule) -> dict[str, object]:
    return {
        "parent": None, "arrival": 1, "members": (1,), "contributor": "north", "task": "lung", "branch": "a" * 64,
        "coefficients": {}, "metrics": {}, "seed": 0, "software": {}, "base": base.fingerprint, "compute": "cpu",
        "item": None, "item_files": {},
    }  # fmt: skip
