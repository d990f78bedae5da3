"""What stands in deploy/ is what the software has, and what other tools accept."""

import json
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.ledger.address import given_address, parse_address
from medforge.aggregator.server.ledger_watch import LedgerWatch
from medforge.aggregator.server.prometheus import LedgerCollector, MachineCollector, Tally
from medforge.aggregator.server.rate_limit import Limiter
from medforge.aggregator.server.readiness import Readiness
from medforge.base_module import BaseModule
from tests.aggregator.serving import FAST
from tests.core.cli.commands import command

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
BOARD = DEPLOY / "grafana" / "forge.json"
FORGE_UNIT = DEPLOY / "systemd" / "medforge-forge.service"
REVIEW_UNIT = DEPLOY / "systemd" / "medforge-review@.service"
BACKUP_UNIT = DEPLOY / "systemd" / "medforge-backup.service"


def parsed(*words: str) -> None:
    """Parse a command line as the command would; raises what it would refuse."""
    name, *rest = words
    found = command(name)
    with found.make_context(name, list(rest)):
        pass


def line_of(unit: Path) -> str:
    line = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    return line.removeprefix("ExecStart=")


def entry_of(unit: Path) -> list[str]:
    return line_of(unit).split()[1:]


def exec_form(instruction: str) -> list[str]:
    text = (DEPLOY / "Dockerfile").read_text()
    found = re.search(rf"^{instruction} (\[.*\])$", text, re.M)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


def test_the_commands_of_every_file_are_commands(tmp_path: Path) -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    probe = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.M)
    assert probe is not None
    parsed(*json.loads(probe[1])[1:])
    assert exec_form("ENTRYPOINT") == ["medforge"]
    parsed(*exec_form("CMD"))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    parsed(*compose["services"]["forge"]["command"])
    backup = compose["services"]["backup"]
    assert backup["entrypoint"] == ["sh", "-c"]
    parsed(*shlex.split(backup["command"][0].removeprefix("exec "))[1:])
    (tmp_path / "kit").mkdir()
    for unit in (FORGE_UNIT, REVIEW_UNIT):
        parsed(
            *[word.replace("/etc/medforge/kit", str(tmp_path / "kit")).replace("%i", "x") for word in entry_of(unit)]
        )
    shell, option, script = shlex.split(line_of(BACKUP_UNIT))
    assert (shell, option) == ("/bin/sh", "-c")
    parsed(*shlex.split(script.removeprefix("exec "))[1:])


def test_the_secrets_of_the_readme_are_those_that_compose_gives(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    told = re.search(
        r"^(\(umask 077; mkdir -p deploy/secrets\n.*?\))$", (DEPLOY / "README.md").read_text(), re.M | re.S
    )
    assert told is not None
    (tmp_path / "deploy").mkdir()
    subprocess.run(["sh", "-euc", told[1]], cwd=tmp_path, timeout=60, check=True)
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    secrets = {name: tmp_path / "deploy" / one["file"] for name, one in compose["secrets"].items()}
    assert all(stat.S_IMODE(secret.stat().st_mode) == 0o600 for secret in secrets.values())
    forge, database = compose["services"]["forge"], compose["services"]["database"]
    kind, _, place = forge["environment"]["MEDFORGE_LEDGER"].rpartition("/")
    assert kind == "file:/run/secrets"
    assert forge["secrets"] == [place]
    url = parse_address(given_address(f"file:{secrets[place]}"))
    asked = database["environment"]
    assert (url.host, url.username, url.database) == ("database", asked["POSTGRES_USER"], asked["POSTGRES_DB"])
    assert asked["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{database['secrets'][0]}"
    assert url.password == secrets[database["secrets"][0]].read_text()
    assert len(str(url.password)) == 48
    # neither committed nor built into an image
    assert "/deploy/secrets/" in (DEPLOY.parent / ".gitignore").read_text().split()
    assert "deploy/secrets" in (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert "postgres" in default_of("EXTRAS").split()


def default_of(argument: str) -> str:
    found = re.search(rf'^ARG {argument}="(.*)"$', (DEPLOY / "Dockerfile").read_text(), re.M)
    assert found is not None
    return found[1]


def test_the_image_is_not_roots_and_says_so_by_number() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    user = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert user == ["10001:10001"]
    last_copy = max(number for number, line in enumerate(lines) if line.startswith(("COPY", "RUN")))
    assert last_copy < lines.index("USER 10001:10001")


def metric_names(directory: Path, base: BaseModule) -> set[str]:
    forge = Forge.establish(directory, base, FAST)
    (directory / "keys").mkdir(exist_ok=True)
    watch = LedgerWatch(forge.ledger)
    registry: CollectorRegistry = Tally().registry
    registry.register(LedgerCollector(forge, Limiter(Limits()), watch))
    registry.register(MachineCollector(Readiness(forge, watch, lambda: True, tls=True)))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    forge.close()
    # a histogram's own series, what a scraper adds itself, and what is there over TLS, once some have called
    over_tls = {"medforge_certificate_expiry_timestamp_seconds", "medforge_clock_ahead_seconds"}
    return names | {"medforge_fold_seconds_bucket", "up"} | over_tls


def test_alerts_and_dashboard_name_metrics_that_there_are(tmp_path: Path, tiny_base: BaseModule) -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(BOARD.read_text())["panels"]
    asked = [rule["expr"] for rule in rules] + [one["expr"] for panel in panels for one in panel["targets"]]
    assert len(rules) >= 8
    assert len(panels) >= 12
    named = {name for text in asked for name in re.findall(r"\b(?:medforge|process)_\w+|\bup\b", text)}
    assert named
    there = metric_names(tmp_path / "forge", tiny_base)
    assert named <= there, named - there
    assert all({"summary", "action"} == set(rule["annotations"]) for rule in rules)


def test_alerts_say_what_prometheus_own_tool_expects() -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool (of Prometheus) is not installed")
    for words in (["check", "config", "prometheus.yaml"], ["test", "rules", "alerts_test.yaml"]):
        ran = subprocess.run([tool, *words], cwd=ALERTS.parent, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_units_are_what_systemd_knows() -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in (FORGE_UNIT, REVIEW_UNIT, BACKUP_UNIT, BACKUP_UNIT.with_suffix(".timer")):
        ran = subprocess.run([tool, "verify", unit], capture_output=True, text=True, timeout=60, check=False)
        complaints = [line for line in ran.stderr.splitlines() if unit.stem.rstrip("@") in line]
        assert all("is not executable" in line for line in complaints), complaints


def chart_values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "medforge" / "values.yaml").read_text())
    return values


def test_the_chart_asks_for_values_that_there_are() -> None:
    values = chart_values()
    for template in (DEPLOY / "helm" / "medforge" / "templates").iterdir():
        text = template.read_text()
        assert text.count("{{- if") + text.count("{{- with") + text.count("{{- range") + text.count(
            "define"
        ) == text.count("{{- end"), template.name
        for path in re.findall(r"\.Values\.([\w.]+)", text):
            found: Any = values
            for name in path.split("."):
                assert name in found, f"{template.name} asks for {path}"
                found = found[name]


def test_the_version_is_the_same_everywhere() -> None:
    from medforge import __version__

    chart = yaml.safe_load((DEPLOY / "helm" / "medforge" / "Chart.yaml").read_text())
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__
    assert compose["services"]["forge"]["image"] == f"medforge:{__version__}"
