"""Files of the Hugging Face hub and of other servers: those that were fetched before, and whether more can be."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from medforge.errors import InvalidInput
from medforge.files import sha256_file

_PROBE_SECONDS = 2.0
"""How long the first answer of a server may take; a site without internet hears of it in less than three seconds."""
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES = ("1", "on", "yes", "true")


@dataclass(frozen=True)
class HubFile:
    """Name a file of a repository of the hub; several names are alternatives, the first that there is counts."""

    repository: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.names[0]} of {self.repository}"

    @property
    def server(self) -> str:
        """The address of the hub."""
        return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"

    def here(self) -> Path | None:
        """Return where the file was fetched to before, None where it was not."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            found = (try_to_load_from_cache(self.repository, name) for name in self.names)
            return next((Path(path) for path in found if isinstance(path, str)), None)
        except HFValidationError:
            raise InvalidInput(
                f"{self.repository!r} is no name of a model of the hub; write hf-hub:ORGANISATION/MODEL"
            ) from None

    def fetch(self) -> Path:
        """Fetch the file, and return where it is; raises InvalidInput with the reason in a sentence."""
        for name in self.names:
            if (found := self._fetched(name)) is not None:
                return found
        raise InvalidInput(f"{self.repository} has no {' or '.join(self.names)}; check the name")

    def _fetched(self, name: str) -> Path | None:
        """Fetch one file, None where the repository does not have it."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            with _quiet():
                return Path(hf_hub_download(self.repository, name))
        except LocalEntryNotFoundError as error:
            raise InvalidInput(
                f"{name} of {self.repository} cannot be fetched: {self.server} stopped answering; try again"
            ) from error
        except EntryNotFoundError:
            return None
        except Exception as error:  # of the hub's client and of what it calls with, which differ between versions
            raise InvalidInput(
                f"{name} of {self.repository} cannot be fetched: {_reason(error)}; check the name and your rights"
            ) from error


@dataclass(frozen=True)
class TokenizerFiles(HubFile):
    """Name the tokenizer of a repository; it is here as the folder that its files are in."""

    def __str__(self) -> str:
        return f"the tokenizer of {self.repository}"

    def here(self) -> Path | None:
        """Return the folder that the tokenizer was fetched to before, None where it was not."""
        found = super().here()
        return None if found is None else found.parent

    def fetch(self) -> Path:
        """Fetch every file of the tokenizer that there is, and return their folder."""
        found = [path for name in self.names if (path := self._fetched(name)) is not None]
        if not found:
            raise InvalidInput(f"{self.repository} has no {' or '.join(self.names[:2])}; check the name")
        for name in _BESIDE:
            self._fetched(name)
        return found[0].parent


_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "config.json")


@dataclass(frozen=True)
class WebFile:
    """Name a file by its address; ``sha256`` are the first letters of its digest, where the address says them."""

    address: str
    sha256: str

    def __str__(self) -> str:
        return self.address

    @property
    def server(self) -> str:
        """The address of the server alone."""
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}"

    def here(self) -> Path | None:
        """Return the file where open_clip and OpenAI's own programs keep it, None where it is not or is another."""
        place = Path.home() / ".cache" / "clip" / Path(urlsplit(self.address).path).name
        if not place.is_file() or not self.sha256:
            return None
        return place if sha256_file(place).startswith(self.sha256) else None

    def fetch(self) -> Path:
        """Fetch the file, and return where it is; raises InvalidInput with the reason in a sentence."""
        from open_clip.pretrained import download_pretrained_from_url

        try:
            return Path(download_pretrained_from_url(self.address))
        except Exception as error:  # of urllib, or that the digest differs
            raise InvalidInput(f"{self.address} cannot be fetched: {_reason(error)}; try again") from error


RemoteFile = HubFile | WebFile


def check_reachable(wanted: Sequence[RemoteFile], spec: str) -> None:
    """Ask the servers once, each with a deadline, whether they answer at all.

    A proxy that the environment names is asked for them. Raises InvalidInput, in one sentence, where one does not, or
    where the environment says that the hub is not to be asked.
    """
    what = f"base module {spec} cannot be fetched"
    lacking = f"this machine lacks {' and '.join(map(str, wanted))}"
    remedy = (
        "copy it beside the weights"
        if ":" in spec and not spec.startswith("hf-hub:")
        else f"where there is internet run `medforge base fetch {spec} --out DIR`, bring DIR here and give hf-local:DIR"
    )
    if (name := _offline_by()) and any(isinstance(one, HubFile) for one in wanted):
        raise InvalidInput(f"{what}: {lacking}, and {name} forbids to ask for it; {remedy}")
    for server in dict.fromkeys(one.server for one in wanted):
        if not _answers(server):
            raise InvalidInput(f"{what}: {lacking}, and {urlsplit(server).netloc} cannot be reached; {remedy}")


def _offline_by() -> str | None:
    return next((name for name in _OFFLINE if os.environ.get(name, "").lower() in _YES), None)


def _answers(server: str) -> bool:
    """Say whether a server answers within the deadline, whatever it answers."""
    found: list[bool] = []
    # in a thread, since a name server that does not answer knows no deadline
    asking = threading.Thread(target=lambda: found.append(_asked(server)), daemon=True)
    asking.start()
    asking.join(_PROBE_SECONDS)
    return found == [True]


def _asked(server: str) -> bool:
    try:
        request = urllib.request.Request(server, method="HEAD")
        urllib.request.urlopen(request, timeout=_PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        # whose certificate is not trusted here may still be by the hub's client, which has authorities of its own
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False
    return True


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's client from writing a line for every try."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
