"""Make real startup kits without a forge, also such as no forge would hand out."""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medforge.aggregator.identity.authority import Authority
from medforge.proto.certificates import now, spell_time
from medforge.proto.kit import Kit, KitCard
from medforge.proto.signing import new_key, public_bytes

FORGE = "0f1e2d3c-0000-4000-8000-000000000001"
DAY = timedelta(days=1)


def make_kit(
    authority: Authority,
    directory: Path,
    contributor: str = "Centre A",
    address: str = "127.0.0.1:1",
    forge_key: Ed25519PrivateKey | None = None,
    ends: datetime | None = None,
    begins: datetime | None = None,
) -> Kit:
    """A saved and opened kit, valid from yesterday for a year unless said otherwise."""
    signing_key = new_key()
    ends = ends or now() + 365 * DAY
    certificate_key, certificate = authority.issue_client(contributor, public_bytes(signing_key), ends, begins)
    card = KitCard(
        contributor=contributor,
        forge=authority.forge,
        address=address,
        key=public_bytes(forge_key or new_key()).hex(),
        base_spec="medforge-tiny",
        base="b" * 64,
        expires=spell_time(ends),
    )
    Kit(directory, card, authority.pem, certificate, certificate_key, signing_key).save()
    return Kit.load(directory)
