"""A renewed kit and the one before it, over real mutual TLS: both are good for a while, and a revocation ends both."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.invitations import invitations
from medforge.aggregator.server import authorisation
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.proto.certificates import now
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving, upload
from tests.kits import DAY
from tests.making import make_branch


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path_factory.mktemp("served") / "forge", tiny_base, tls=True) as both:
        yield both


def answer(kit: Kit) -> str:
    """What the forge says to a call under the kit."""
    with RemoteForge(Connection(kit.card.address, kit)) as remote:
        try:
            remote.describe()
        except NotAllowed as error:
            return next(word for word in ("replaced", "revoked") if word in str(error))
    return "ok"


def submit(kit: Kit, tmp_path: Path, base: BaseModule, seed: int, signer: Kit | None = None) -> None:
    branch = make_branch(base, seed, task=f"{kit.card.contributor} {seed}", contributor=kit.card.contributor)
    with RemoteForge(Connection(kit.card.address, kit)) as remote:
        upload(remote, branch, tmp_path / branch.digest)
        remote.submit(branch.manifest.to_bytes(), (signer or kit).sign_submit(branch.digest))


def renew(forge: Forge, kit: Kit, out: Path, overlap: timedelta) -> Kit:
    return invite(forge, kit.card.name, kit.card.address, out, overlap=overlap)


def test_both_kits_call_and_sign_until_the_overlap_ends(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge, at = served
    old = invite(forge, "Both", at, tmp_path / "old")
    new = renew(forge, old, tmp_path / "new", 3 * DAY)
    stranger = invite(forge, "Stranger", at, tmp_path / "stranger")
    for seed, kit in enumerate((old, new)):
        assert answer(kit) == "ok"
        submit(kit, tmp_path, tiny_base, seed)
    for kit in (old, new):
        with pytest.raises(NotAllowed, match="not by the key it should be"):
            submit(kit, tmp_path, tiny_base, 2, signer=stranger)
    assert sum(one.contributor == "Both" for one in forge.ledger.arrivals()) == 2
    assert not [found for check in check_forge(forge, quick=True) for found in check.problems]
    monkeypatch.setattr(authorisation, "now", lambda: now() + 3 * DAY)
    assert (answer(old), answer(new)) == ("replaced", "ok")
    with pytest.raises(NotAllowed, match="not by the key it should be"):
        submit(new, tmp_path, tiny_base, 3, signer=old)


def test_a_revocation_ends_both_and_no_later_kit_brings_them_back(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    old = invite(forge, "Gone", at, tmp_path / "old")
    new = renew(forge, old, tmp_path / "new", 3 * DAY)
    forge.ledger.revoke("Gone")
    assert (answer(old), answer(new)) == ("revoked", "revoked")
    newest = renew(forge, new, tmp_path / "newest", 3 * DAY)
    assert (answer(old), answer(new), answer(newest)) == ("replaced", "replaced", "ok")


def test_only_the_kit_before_the_newest_overlaps(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    first = invite(forge, "Thrice", at, tmp_path / "first")
    second = renew(forge, first, tmp_path / "second", 3 * DAY)
    third = renew(forge, second, tmp_path / "third", 3 * DAY)
    assert (answer(first), answer(second), answer(third)) == ("replaced", "ok", "ok")
    last = renew(forge, third, tmp_path / "last", timedelta(0))
    assert (answer(second), answer(third), answer(last)) == ("replaced", "replaced", "ok")


def test_the_command_says_until_when_and_never_beyond_the_old_kits_own_end(
    served: tuple[Forge, str], tmp_path: Path
) -> None:
    forge, at = served

    def told(out: str, *more: object) -> dict[str, str | None]:
        words = [
            "invite",
            "Said",
            "--forge",
            forge.directory,
            "--address",
            at,
            "--out",
            tmp_path / out,
            *more,
            "--json",
        ]
        result = CliRunner().invoke(build_app(), list(map(str, words)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    first = told("first", "--days", 5)
    assert first["earlier_until"] is None
    second = told("second", "--renew")
    assert second["earlier_until"] == first["expires"]
    third = told("third", "--renew")
    until = datetime.fromisoformat(str(third["earlier_until"]))
    assert timedelta(0) <= now() + 14 * DAY - until < timedelta(minutes=2)
    assert invitations(forge.ledger)["Said"].earlier is not None
    assert told("fourth", "--renew", "--overlap", 0)["earlier_until"] is None
