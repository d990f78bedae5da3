"""One forge for all tests of the pages; none of them changes it."""

from collections.abc import Iterator

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.page.site import Site
from medforge.base_module import BaseModule
from tests.aggregator.page.shown_forge import ShownForge, build_forge


@pytest.fixture(scope="session")
def shown(tiny_base: BaseModule, tmp_path_factory: pytest.TempPathFactory) -> ShownForge:
    """A forge in which everything has happened that pages show."""
    return build_forge(tmp_path_factory.mktemp("shown") / "forge", tiny_base)


@pytest.fixture(scope="session")
def site(shown: ShownForge) -> Iterator[Site]:
    """Its pages, up to date."""
    forge = Forge.open(shown.directory)
    site = Site(forge)
    site.update()
    yield site
    forge.close()
