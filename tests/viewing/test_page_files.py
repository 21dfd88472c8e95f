"""What the pages are made of is found, packed, and the same everywhere."""

import shutil
import subprocess
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from suasion.viewing._report_page import asset

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "src" / "suasion" / "viewing" / "page"
NAMES = ("player.css", "player.js", "report.js", "watch.js")


def test_each_file_is_found_as_the_package_finds_it() -> None:
    assert sorted(entry.name for entry in (files("suasion.viewing") / "page").iterdir()) == sorted(NAMES)
    for name in NAMES:
        content = asset(name)
        assert content == (FOLDER / name).read_text("utf-8")
        assert "</script" not in content.lower()  # it would end the element that the file stands in
        assert "</style" not in content.lower()
        for address in ("http:", "https:", "//cdn", "@import", "url("):
            assert address not in content, f"{name} would ask for something: {address}"
        for way in ("eval(", "Function(", "document.write", "localStorage"):
            assert way not in content, f"{name}: {way}"


def test_each_file_is_packed() -> None:
    """The wheel holds the whole package, less what git ignores."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    targets = build["tool"]["hatch"]["build"]["targets"]
    assert build["build-system"]["build-backend"] == "hatchling.build"
    assert targets == {"wheel": {"packages": ["src/suasion"]}}
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("git is not here to say what it ignores")
    ignored = subprocess.run(
        ["git", "check-ignore", *(str(FOLDER / name) for name in NAMES)], cwd=ROOT, capture_output=True, check=False
    )
    assert (ignored.returncode, ignored.stdout) == (1, b"")
