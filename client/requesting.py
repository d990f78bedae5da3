"""Ask for a kit: make its private keys where they are to stay, and the request that travels."""

from __future__ import annotations

from pathlib import Path

from medforge.contributor_name import ContributorName
from medforge.errors import InvalidInput
from medforge.files import check_new, make_private, write_atomically
from medforge.proto.certificates import new_certificate_key
from medforge.proto.key_files import save_private_key
from medforge.proto.kit import CERTIFICATE_KEY_FILE, SIGNING_KEY_FILE, Kit
from medforge.proto.kit_request import REQUEST_FILE, KitRequest
from medforge.proto.signing import new_key


def request_kit(
    name: ContributorName, out: Path, kit_before: Kit | None = None, passphrase: bytes | None = None
) -> KitRequest:
    """Make the keys of a kit in a new or empty directory, and beside them the request for it, which is returned.

    With `kit_before` the request also bears that kit's signature; with a passphrase the keys are encrypted. Raises
    InvalidInput for a name that no certificate can hold, or a directory that cannot be used.
    """
    check_new(out)
    certificate_key, signing_key = new_certificate_key(), new_key()
    before = None if kit_before is None else kit_before.signing_key
    request = KitRequest.issue(name, certificate_key, signing_key, before)
    try:
        make_private(out)
        save_private_key(out / CERTIFICATE_KEY_FILE, certificate_key, passphrase)
        save_private_key(out / SIGNING_KEY_FILE, signing_key, passphrase)
        write_atomically(out / REQUEST_FILE, request.to_bytes())
    except OSError as error:
        raise InvalidInput(
            f"the request cannot be written to {out} ({error.strerror}); choose another --out"
        ) from error
    return request
