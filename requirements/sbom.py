"""Write the software bill of materials as CycloneDX JSON: `make sbom`.

It follows from the locks and the tree alone: no clock, no path and nothing of the machine, so the same commit gives the
same bytes. Licences are not in it, since the locks do not know them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from medforge import __version__
from medforge.files import sha256_file
from requirements.pins import BASE, ROOT, Pin, lock_file, lock_names, project, read_pins

DEVELOPMENT = ("dev", "fuzz")
"""Extras of who works on MedForge; what only they bring runs at no site and at no forge."""
EMBEDDED = ROOT / "core" / "embedded"


def main() -> None:
    """Write the bill of materials into the file that is named."""
    (out,) = map(Path, sys.argv[1:])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(bill_of_materials())
    print(out)


def bill_of_materials() -> str:
    """Return MedForge, everything that its locks may install, and its embedded weights, as CycloneDX 1.6."""
    about = project()["project"]
    itself = Component(
        name=about["name"],
        version=__version__,
        type=ComponentType.APPLICATION,
        description=about["description"],
        licenses=[LicenseExpression(about["license"])],
        bom_ref=about["name"],
        purl=PackageURL("pypi", name=about["name"], version=__version__),
    )
    locked: dict[str, Component] = {}
    for name in lock_names():
        for pin in read_pins(lock_file(name).read_text()):
            component = _library(pin, _scope(name))
            known = locked.setdefault(str(component.purl), component)
            if known.scope is ComponentScope.EXCLUDED:
                known.scope = component.scope
    parts = [*locked.values(), *map(_model, sorted(EMBEDDED.glob("*.safetensors")))]
    bom = Bom(components=parts, metadata=BomMetaData(component=itself))
    bom.register_dependency(itself, parts)
    # they would be the time and a random number; the serial number is told by what the bill says
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = UUID(int=0)
    bom.serial_number = uuid5(NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _scope(name: str) -> ComponentScope:
    if name == BASE:
        return ComponentScope.REQUIRED
    return ComponentScope.EXCLUDED if name in DEVELOPMENT else ComponentScope.OPTIONAL


def _library(pin: Pin, scope: ComponentScope) -> Component:
    name = canonicalize_name(pin.requirement.name)
    purl = PackageURL("pypi", name=name, version=pin.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        comment="any of the files with these digests may be installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in pin.hashes],
    )
    return Component(
        name=name, version=pin.version, type=ComponentType.LIBRARY, scope=scope, bom_ref=str(purl), purl=purl,
        external_references=[files],
    )  # fmt: skip


def _model(weights: Path) -> Component:
    name = weights.stem.replace("_", "-")
    return Component(
        name=name,
        version=__version__,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        scope=ComponentScope.REQUIRED,
        bom_ref=f"model:{name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256_file(weights))],
        description=f"pretrained weights that travel inside the package ({weights.name})",
    )


if __name__ == "__main__":
    main()
