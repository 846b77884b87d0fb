"""Imports point one way, components stay thin, and packaging knows every package."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support.imports import loaded_after
from support.shared import SharedFolder

ROOT = Path(__file__).parents[1]

# Whom of ours each room may import; everything else of ours is out of reach.
ALLOWED = {
    "pipeline": {"commands", "components", "launcher"},
    "commands": {"commands", "launcher", "tsa_model"},
    "launcher": {"launcher", "tsa_model"},
    "components": {"train_job", "components", "data_contracts", "tsa_model"},
    "train_job": {"train_job", "tsa_model"},
    "data_contracts": {"data_contracts", "tsa_model"},
    "tsa_model": {"tsa_model"},
}
# What the contract warns of is said of orders that are scored without it, too.
MORE = {"commands/score.py": {"data_contracts"}}
# Installed inside tsa_model from elsewhere: run descriptions.
DATA = {"tsa_model.configs"}
ROOMS = ("commands", "train_job", "components", "configs", "data_contracts", "launcher", "tsa_model")
# Parts of the library that need the standard library alone.
LIGHT = {"tsa_model.events.location", "tsa_model.outputs", "tsa_model.program", "tsa_model.stopping"}
FORBIDDEN_IN_LIBRARY = {"kfp", "kubernetes", "great_expectations", "click", "rich"}


def modules(room: str) -> list[Path]:
    single = ROOT / f"{room}.py"
    return [single] if single.exists() else sorted((ROOT / room).rglob("*.py"))


def imports(nodes: Iterator[ast.AST] | list[ast.stmt]) -> set[str]:
    """Top-level names of everything imported by `nodes`."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            names.add((node.module or "").partition(".")[0])
    return names


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_point_one_way(room: str) -> None:
    assert modules(room), f"no modules in {room}"
    for path in modules(room):
        ours = imports(ast.walk(tree(path))) & ALLOWED.keys()
        place = str(path.relative_to(ROOT))
        allowed = ALLOWED[room] | MORE.get(place, set())
        assert ours <= allowed, f"{place} imports {ours - allowed}"


def test_library_runs_without_kubeflow_and_great_expectations() -> None:
    for path in modules("tsa_model"):
        wrong = imports(ast.walk(tree(path))) & FORBIDDEN_IN_LIBRARY
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_library_imports_torch_when_a_name_needs_it_and_kubeflow_never(
    shared_folder: SharedFolder,
) -> None:
    loaded = loaded_after(shared_folder)
    never = {"kfp", "kubernetes", "great_expectations", "click"}
    heavy = {"torch", "pytorch_lightning", "numpy", "pandas", "pyarrow"}
    for step in ("package", "settings"):
        assert not (never | heavy) & loaded[step]
    assert "torch" in loaded["network"]
    assert "pytorch_lightning" in loaded["training"]
    assert not never & loaded["training"]


def test_the_command_line_imports_only_what_is_light_at_module_level() -> None:
    for path in [*modules("commands"), *modules("pipeline")]:
        body = tree(path).body
        outside = imports(body) - sys.stdlib_module_names - {"click", "commands", "launcher", "tsa_model"}
        library = {node.module for node in body if isinstance(node, ast.ImportFrom) and node.module}
        outside |= {name for name in library if name.startswith("tsa_model")} - LIGHT
        assert not outside, f"{path.relative_to(ROOT)} imports {outside} at module level"


def components() -> list[Path]:
    return [path for path in modules("components") if path.name not in ("__init__.py", "image.py")]


def test_components_import_only_kfp_and_the_standard_library_at_module_level() -> None:
    for path in components():
        ours = {"components"}  # the image's name
        outside = imports(tree(path).body) - sys.stdlib_module_names - {"kfp"} - ours
        assert not outside, f"{path.name} imports {outside} at module level"


def test_a_component_is_one_function_with_the_name_of_its_file() -> None:
    assert len(components()) >= 6
    for path in components():
        functions = [node.name for node in tree(path).body if isinstance(node, ast.FunctionDef)]
        assert functions == [path.stem]
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 70, f"{path.name} is no longer thin"


def test_packaging_takes_every_data_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]
    data = [
        path
        for room in ROOMS
        for path in (ROOT / room).rglob("*.*")
        if "__pycache__" not in path.parts and path.suffix != ".py"
    ]
    assert data
    left_out = []
    for path in data:
        package = next(folder for folder in path.parents if (folder / "__init__.py").exists())
        name = ".".join(package.relative_to(ROOT).parts)
        inside = path.relative_to(package)
        if not any(inside.match(pattern) for pattern in (*patterns["*"], *patterns.get(name, ()))):
            left_out.append(str(path.relative_to(ROOT)))
    assert left_out == [], "[tool.setuptools.package-data] in pyproject.toml"


def test_packaging_lists_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "packages"
    ]
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    assert sorted(listed) == sorted((folders - {"configs"}) | DATA), (
        "[tool.setuptools] packages in pyproject.toml"
    )
    for name in sorted(folders):
        assert (ROOT / name.replace(".", "/") / "__init__.py").exists(), f"{name} has no __init__.py"


def test_the_image_is_given_every_package_it_installs() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    moved = settings["package-dir"]
    folders = {moved.get(name, name.split(".")[0]) for name in settings["packages"]}
    missing = {each for each in folders if not any(k == each or k.startswith(f"{each}/") for k in kept)}
    assert missing == set()
