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
        "breakhis", "dicom", "findings", "folder", "lc25000-colon", "lc25000-lung", "medfmc-colon", "medmnist",
        "nifti", "nih-cxr14", "oai-knee", "shenzhen-tb", "slides", "table", "tissue",
    ]  # fmt: skip
    assert loaded == "[]"


def test_a_path_that_does_not_exist_is_refused_without_torch() -> None:
    program = (
        "import sys; from medforge.client.data.catalogue import SOURCES, check_source; from medforge.errors import *\n"
        "for name in SOURCES.built_in():\n"
        "    if name in ('findings', 'tissue'): continue\n"
        "    try: check_source(f'{name}:/gone'); print(name, 'passed')\n"
        "    except InvalidInput: pass\n"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
