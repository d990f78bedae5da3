"""A forge's tags as somebody else reads them: those that it signed, and why the others are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from medforge.errors import CorruptFile
from medforge.proto.errors import NotAllowed
from medforge.proto.signed_tag import SignedTag


class Tags(dict[str, SignedTag]):
    """Hold by name, oldest first, the tags that the forge's key has signed; of the others ``refused`` says why.

    One bad tag spoils no other, and nothing can be named by it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, NotAllowed | CorruptFile] = {}

    @classmethod
    def verified(cls, tags: Iterable[tuple[str, Callable[[], SignedTag]]]) -> Tags:
        """Read tags, each by its name and what verifies it or raises NotAllowed or CorruptFile."""
        found = cls()
        for name, verify in tags:
            try:
                found[name] = verify()
            except (NotAllowed, CorruptFile) as error:
                found.refused[name] = error
        return found

    def named(self, name: str) -> SignedTag | None:
        """Return the tag of this name, None where there is none. Raises NotAllowed or CorruptFile for a refused one."""
        if name in self.refused:
            raise self.refused[name]
        return self.get(name)
