"""Follow how-tos word for word, and say what was not: python -m tests.docs.follow PAGE …."""

import sys
import time

import pytest

from tests.docs.follow.following import Followers
from tests.docs.follow.places import STAND_INS, places
from tests.docs.follow.terminal import Differs
from tests.docs.pages import ROOT


def main() -> int:
    """Return 0 where everything goes as the pages say, 1 where not, 2 where it cannot be tried."""
    pages = [ROOT / "docs" / f"{name.removesuffix('.md')}.md" for name in sys.argv[1:]]
    absent = [page.name for page in pages if not page.exists()]
    if absent or not pages:
        print(f"there is no page {absent[0]}" if absent else __doc__, file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        with places() as found:
            followers = Followers(found, lambda said: print(said, flush=True))
            followers.follow(pages)
    except Differs as differs:
        print(differs, file=sys.stderr)
        return 1
    except pytest.skip.Exception as why:
        print(f"cannot be followed here: {why}", file=sys.stderr)
        return 2
    print(f"followed word for word in {time.monotonic() - began:.0f} s. What stood in for what:")
    print("".join(f"- {one}\n" for one in STAND_INS), end="")
    print(f"Not followed, {len(followers.left_out)} blocks:")
    for one in followers.left_out:
        print(f"- {one.where}: {one.reason}\n    {one.text.strip().replace(chr(10), f'{chr(10)}    ')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
