"""The built image: what is in it, and that it runs sealed off (`make test-image`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.small_run import small_run

import pipeline
from launcher.compilation import compiled_documents

pytestmark = pytest.mark.image

ROOT = Path(__file__).parents[2]

LOOK_AROUND = """
import importlib.metadata, json, os, shutil, sysconfig
from pathlib import Path
packages = Path(sysconfig.get_path("platlib"))
compilers = ("cc", "gcc", "g++", "clang", "ld", "as", "make", "cmake")
found = {name: [] for name in ("caches", "tests", "writable")}
found["compilers"] = [name for name in compilers if shutil.which(name)]
for place, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if not os.path.ismount(os.path.join(place, name))]
    here = Path(place)
    found["caches"] += [str(here / name) for name in folders if name in (".cache", "pip-cache")]
    found["caches"] += [str(here / name) for name in files
                        if name.endswith((".whl", ".deb", ".tar.gz")) and "ensurepip" not in place]
    if packages in (here, *here.parents) or here == Path("/app"):
        found["tests"] += [str(here / name) for name in folders if name in ("test", "tests")]
    if os.access(place, os.W_OK) and not place.startswith(("/tmp", "/var/tmp", "/run/lock", "/home/tsa")):
        found["writable"].append(place)
ours = [str(path) for path in importlib.metadata.files("tsa-pipeline")]
found["tests"] += [path for path in ours if path.startswith(("tests/", "support/")) or "/test_" in path]
found["app"] = sorted(os.listdir("/app"))
found["build"] = sorted(os.listdir("/tmp"))
found["user"] = [os.getuid(), os.getgid()]
found["versions"] = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
print(json.dumps(found))
"""

LOOK_AT_RUN = """
import json
from pathlib import Path
import pandas
from tsa_model.sequences import SequenceStore
stages = Path("/tmp/runs/latest/stages")
scores = pandas.read_parquet(stages / "generate-scores/scores/scores.parquet")
targets = SequenceStore.open(stages / "build-sequences/store").order_ids("test")
places = ("validate-events/result", "build-sequences/result", "generate-scores/contract_result",
          "check-equivalence/verdict", "check-online/result", "compare-champion/comparison")
print(json.dumps({
    "orders": len(targets),
    "each once": sorted(scores["order_id"]) == sorted(targets),
    "in range": bool(scores["score"].between(0, 1).all()),
    "passed": {place: json.loads((stages / place).read_text())["passed"] for place in places},
    "left over": sorted(path.name for path in Path("/tmp").iterdir()),
    "cached": sorted(path.name for path in Path("/tmp/.cache").glob("*")),
}))
"""


@pytest.fixture(scope="module")
def around(engine: Any) -> dict[str, Any]:
    """What a user of the image finds in it."""
    seen = engine.run("python", "-c", LOOK_AROUND)
    assert seen.returncode == 0, seen.stdout
    return json.loads(seen.stdout.splitlines()[-1])


@pytest.mark.parametrize("user", ["1000:1000", "4321:0"], ids=["own user", "any user"])
def test_help_runs_without_a_place_to_write(engine: Any, user: str) -> None:
    shown = engine.run("--help", options=("--user", user))
    assert shown.returncode == 0, shown.stdout
    assert "validate_events" in shown.stdout


def test_nothing_can_be_written_where_the_root_is_read_only(engine: Any) -> None:
    assert "Read-only file system" in engine.run("touch", "/tmp/file").stdout


def test_the_user_is_nobody_special_and_cannot_change_the_image(around: dict[str, Any]) -> None:
    assert around["user"] == [1000, 1000]
    assert around["writable"] == []


def test_no_compiler_cache_or_test_is_inside(around: dict[str, Any]) -> None:
    assert (around["compilers"], around["caches"], around["tests"]) == ([], [], [])
    assert (around["app"], around["build"]) == (["monitoring.yaml", "pipeline.py", "pipeline.yaml"], [])


def test_versions_are_the_tested_ones(around: dict[str, Any]) -> None:
    def plain(name: str) -> str:
        return name.lower().replace("_", "-").replace(".", "-")

    inside = {plain(name): version.partition("+")[0] for name, version in around["versions"].items()}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    expected = {plain(name): version for name, version in pinned.items() if plain(name) in inside}
    assert len(expected) > 50
    assert {name: inside[name] for name in expected} == expected


def test_a_stage_starts_as_a_cluster_starts_it(engine: Any, volume: str) -> None:
    documents = compiled_documents(pipeline.tsa_pipeline, engine.image)
    container = documents[0]["deploymentSpec"]["executors"]["exec-validate-events"]["container"]
    types = documents[0]["components"]["comp-validate-events"]["outputDefinitions"]["artifacts"]
    request = {
        "inputs": {
            "parameterValues": {
                "events": "",
                "config": small_run().model_dump_json(),
                "data_interval_end": "",
            }
        },
        "outputs": {
            "parameters": {"Output": {"outputFile": "/tmp/out/Output"}},
            "artifacts": {
                name: {"artifacts": [{"name": name, "type": one["artifactType"], "uri": f"/tmp/out/{name}"}]}
                for name, one in types.items()
            },
            "outputFile": "/tmp/out/executor_output.json",
        },
    }
    words = [*container["command"], *container["args"]]
    command = [word.replace("{{$}}", json.dumps(request)) for word in words]
    done = engine.run(*command, volume=volume)
    assert done.returncode == 0, done.stdout
    made = json.loads(engine.run("cat", "/tmp/out/executor_output.json", volume=volume).stdout)
    (validated,) = made["artifacts"]["validated"]["artifacts"]
    assert validated["metadata"]["key_figure"].startswith("6,000 orders")
    assert json.loads(engine.run("cat", "/tmp/out/result", volume=volume).stdout)["passed"] is True


def test_the_whole_demo_runs_with_one_place_to_write(engine: Any, volume: str) -> None:
    done = engine.run("run", "--runs", "/tmp/runs", volume=volume)
    assert done.returncode == 0, done.stdout
    print(done.stdout)
    seen = engine.run("python", "-c", LOOK_AT_RUN, volume=volume)
    assert seen.returncode == 0, seen.stdout
    found = json.loads(seen.stdout.splitlines()[-1])
    assert found["orders"] > 1000
    assert found["each once"]
    assert found["in range"]
    assert set(found["passed"].values()) == {True}
    assert set(found["left over"]) <= {"runs", ".cache", ".config"}, "something was written beside the run"
    assert set(found["cached"]) <= {"matplotlib", "fontconfig"}, "who else keeps something?"


def test_a_failed_stage_fails_the_container(engine: Any, volume: str) -> None:
    options = ["--runs", "/tmp/runs", "--events", "/tmp/none.parquet"]
    done = engine.run("python", "pipeline.py", "run", *options, volume=volume)
    assert done.returncode == 1
    assert "validate_events failed" in done.stdout
