"""Which activation a file's weights were trained with, as far as the file or what lies beside it says."""

from __future__ import annotations

from pathlib import Path

from medforge.bases.archive import activation_in, is_archive
from medforge.bases.configuration import Configuration
from medforge.bases.spec import CONFIG_FILE, Checkpoint
from medforge.errors import InvalidInput
from medforge.files import sha256_file
from medforge.open_clip_tags import architectures, config_of, weights_of

QUICK = "quick_gelu"
_SUFFIX = "-quickgelu"


def activation_of(
    asked: Checkpoint, own: Configuration, beside: Configuration | None
) -> tuple[bool, str, tuple[str, ...]]:
    """Return whether a file's weights were trained with QuickGELU, from where that is known, and what is not.

    A file that its publisher's digest names decides; then the code of a TorchScript archive, read as text; then the
    configuration beside the file; then what the architecture says. Raises InvalidInput where the file contradicts an
    architecture that names QuickGELU.
    """
    named = asked.architecture
    if (known := _publication(asked.path)) is not None:
        of, tag, quick = known
        if named.removesuffix(_SUFFIX) != of and not named.endswith(".json"):
            raise InvalidInput(f"{asked.path} is the file that is published as {of}/{tag}; write {of}:{asked.path}")
        return _decided(asked, own, quick, f"its digest is that of {of}/{tag}")
    if (of_code := activation_in(asked.path)) is not None:
        return _decided(asked, own, of_code == QUICK, "the file says so itself")
    if beside is not None:
        return _decided(asked, own, beside.quick_gelu, f"the {CONFIG_FILE} beside the file says so")
    said = f"that of {named}"
    other = f"{named}{_SUFFIX}"
    if own.quick_gelu or named.endswith(".json") or config_of(other) is None:
        return own.quick_gelu, said, ()
    tags = [tag for tag, facts in weights_of(named).items() if facts.get(QUICK)]
    return (
        False,
        said,
        (
            "a file of weights does not say which activation they were trained with: if they are OpenAI's or another's "
            f"of {', '.join(tags) or 'QuickGELU'}, write {other}:{asked.path}",
        ),
    )


def _decided(asked: Checkpoint, own: Configuration, quick: bool, why: str) -> tuple[bool, str, tuple[str, ...]]:
    if own.quick_gelu and not quick:
        raise InvalidInput(
            f"{asked.path} holds weights for GELU ({why}), and {asked.architecture} computes QuickGELU; write "
            f"{asked.architecture.removesuffix(_SUFFIX)}:{asked.path}"
        )
    return quick, why, ()


def _publication(path: Path) -> tuple[str, str, bool] | None:
    """Return as which architecture and tag a file is published, and whether that is QuickGELU, by its digest.

    Only what looks like such a file is digested: an archive of TorchScript, or one of a publication's name.
    """
    digest: str | None = None
    looks = is_archive(path) and activation_in(path) is not None
    for architecture in architectures():
        if architecture.endswith(_SUFFIX):
            continue
        for tag, facts in weights_of(architecture).items():
            due = digest_in(facts.get("url", ""))
            if not due or not (looks or Path(facts["url"]).name == path.name):
                continue
            digest = digest or sha256_file(path)
            if digest.startswith(due):
                return architecture, tag, bool(facts.get(QUICK))
    return None


def digest_in(url: str) -> str:
    """Return the first letters of a file's sha256 that its publisher put into its address, or none."""
    if "openaipublic" in url:
        return url.split("/")[-2]
    return Path(url).stem.rpartition("-")[2] if "mlfoundations" in url else ""
