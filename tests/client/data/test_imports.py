"""Help must stay fast: naming the sources computes nothing, so it loads no numerical library."""

import subprocess
import sys


def test_sources_are_listed_without_numerical_libraries() -> None:
    program = (
        "import sys; from medforge.client.data.catalogue import names; print(*names());"
        "print([name for name in ('torch', 'numpy', 'PIL', 'sklearn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, loaded = result.stdout.splitlines()
    assert names.split() == [
        "breakhis", "findings", "folder", "lc25000-colon", "lc25000-lung", "medfmc-colon", "medmnist", "nih-cxr14",
        "oai-knee", "shenzhen-tb", "tissue",
    ]  # fmt: skip
    assert loaded == "[]"
