"""The documentation tells the truth: its examples run, and every public name is explained."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import suasion

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]
ROOMS = [module.name for module in pkgutil.iter_modules(suasion.__path__) if module.ispkg]


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_a_docstring(room):
    module = importlib.import_module(f"suasion.{room}")
    assert module.__doc__
    bare = []
    for name, thing in vars(module).items():
        if name.startswith("_") or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if not getattr(thing, "__module__", "").startswith("suasion"):
            continue
        if not inspect.getdoc(thing):
            bare.append(name)
        if inspect.isclass(thing):
            methods = inspect.getmembers(thing, inspect.isfunction)
            bare += [
                f"{name}.{m}"
                for m, f in methods
                if not m.startswith("_") and f.__qualname__.startswith(name) and not inspect.getdoc(f)
            ]
    assert not bare, f"{room}: no docstring on {', '.join(bare)}"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
