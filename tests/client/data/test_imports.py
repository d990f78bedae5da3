"""Help must stay fast: naming the sources computes nothing, so it loads no numerical library."""

import subprocess
import sys


def test_sources_are_listed_without_numerical_libraries() -> None:
    program = (
        "import sys; from medforge.client.data.catalogue import summaries; print(*summaries());"
        "print([name for name in ('torch', 'numpy', 'PIL', 'sklearn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, loaded = result.stdout.splitlines()
    assert names.split() == [
        "breakhis", "lc25000-lung", "lc25000-colon", "medfmc-colon", "nih-cxr14", "shenzhen-tb", "oai-knee", "medmnist",
        "folder", "tissue", "findings",
    ]  # fmt: skip
    assert loaded == "[]"
