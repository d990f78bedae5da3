"""What is not here is said in one sentence, at once, by loading, by a look and by a command; a look fetches nothing."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from medforge.base import load_base
from medforge.base_check import check_base
from medforge.errors import InvalidInput
from tests.core.bases.hub import Hub

SPECS = ("ViT-B-16/openai", "hf-hub:organisation/model", "ViT-B-16-SigLIP/webli")
SAID = (
    r"{} cannot be fetched: this machine lacks .*127\.0\.0\.1:\d+ cannot be reached; "
    r".*medforge base fetch {} --out DIR.*hf-local:DIR"
)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("spec", SPECS)
def test_an_offline_machine_hears_so_at_once(spec: str, hub: Hub) -> None:
    for ask in (load_base, check_base):
        begun = time.monotonic()
        with pytest.raises(InvalidInput, match=SAID.format(spec, spec)):
            ask(spec)
        assert time.monotonic() - begun < 1.5
    assert not hub.cache.exists()


def test_a_server_that_never_answers_is_waited_for_two_seconds(
    hub: Hub, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", silent_server)
    begun = time.monotonic()
    with pytest.raises(InvalidInput, match="cannot be reached"):
        load_base("ViT-B-16/openai")
    assert time.monotonic() - begun < 2.5


def test_the_environment_can_forbid_to_ask(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InvalidInput, match="HF_HUB_OFFLINE forbids to ask for it; where there is internet"):
        load_base("ViT-B-16/openai")


def test_a_tokenizer_that_a_file_lacks_is_to_be_copied_beside_it(hub: Hub) -> None:
    file = hub.cache.parent / "weights.pt"
    file.touch()
    with pytest.raises(
        InvalidInput, match=r"lacks the tokenizer of timm/ViT-B-16-SigLIP.*; copy it beside the weights"
    ):
        check_base(f"ViT-B-16-SigLIP:{file}")
    (file.parent / "tokenizer.json").touch()
    check_base(f"ViT-B-16-SigLIP:{file}")


def test_a_name_that_is_none_is_told(hub: Hub) -> None:
    with pytest.raises(InvalidInput, match="no name of a model of the hub; write hf-hub:ORGANISATION/MODEL"):
        load_base("hf-hub:a/b/c")


def test_a_command_says_one_line_in_less_than_three_seconds(hub: Hub) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "medforge", "train", "tissue:lung", "--base", "ViT-B-16/openai", "--workspace", "w"],
        capture_output=True, text=True, env=hub.environment, cwd=hub.cache.parent,
    )  # fmt: skip
    assert time.monotonic() - begun < 3
    assert done.returncode == 2
    assert done.stdout == ""
    # on a slow machine it says that it is still loading
    said = [line for line in done.stderr.splitlines() if not line.startswith("loading")]
    assert len(said) == 1, done.stderr
    assert "cannot be reached" in done.stderr
    assert not (hub.cache.parent / "w").exists()
