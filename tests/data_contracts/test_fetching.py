"""Events that lie in an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.s3_server import serve

from data_contracts.events import validate_events
from data_contracts.fetching import local_copy
from data_contracts.findings import ContractViolation
from tsa_model.events.errors import BadEvents
from tsa_model.settings.run import RunConfig

Save = Callable[..., str]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The objects of a bucket, whose address and key are in the environment as a cluster gives them."""
    objects: dict[str, bytes] = {}
    with serve(objects, "our-key") as address:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "our-key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield objects


@pytest.mark.parametrize(
    ("keys", "location"),
    [
        (["orders.parquet"], "s3://bucket/orders.parquet"),
        (["orders/part-1.parquet", "orders/part-2.parquet"], "s3://bucket/orders"),
        (["orders/part-1.parquet", "orders/part-2.parquet"], "s3://bucket/orders/"),
    ],
)
def test_events_of_a_store_are_those_of_a_file(
    events: pd.DataFrame,
    run: RunConfig,
    outputs,
    save: Save,
    bucket: dict[str, bytes],
    keys: list[str],
    location: str,
) -> None:
    expected = validate_events(save(events), run, outputs.events, outputs.report, outputs.result)
    content = pd.read_parquet(outputs.events)
    outputs.events.unlink()
    size = -(-len(events) // len(keys))
    for number, key in enumerate(keys):
        path = save(events.iloc[number * size : (number + 1) * size])
        bucket[key] = Path(path).read_bytes()
    found = validate_events(location, run, outputs.events, outputs.report, outputs.result)
    assert found == expected
    pd.testing.assert_frame_equal(pd.read_parquet(outputs.events), content)
    assert not list(outputs.folder.glob(".fetched*"))


def test_what_a_store_does_not_have_stops_the_run(run: RunConfig, outputs, bucket: dict[str, bytes]) -> None:
    with pytest.raises(ContractViolation, match="s3://bucket/none cannot be read"):
        validate_events("s3://bucket/none", run, outputs.events, outputs.report, outputs.result)
    assert not outputs.events.exists()
    assert not list(outputs.folder.glob(".fetched*"))


def test_a_store_that_refuses_the_key_is_named(
    bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket["orders.csv"] = b"order\n1\n"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another-key")
    with (
        pytest.raises(BadEvents, match=r"s3://bucket/orders\.csv cannot be read"),
        local_copy("s3://bucket/orders.csv", tmp_path),
    ):
        pass


def test_a_path_is_left_alone_and_a_file_location_read(tmp_path: Path) -> None:
    with local_copy("some/orders.csv", tmp_path) as path:
        assert path == "some/orders.csv"
    (tmp_path / "orders.csv").write_text("order\n1\n")
    with local_copy(f"file://{tmp_path}/orders.csv", tmp_path) as path:
        assert path != str(tmp_path / "orders.csv")
        assert Path(path).name == "orders.csv"
        assert Path(path).read_text() == "order\n1\n"
    assert [one.name for one in tmp_path.iterdir()] == ["orders.csv"]


def test_an_unknown_scheme_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(BadEvents, match=r"nope://bucket/orders cannot be read: .*nope"),
        local_copy("nope://bucket/orders", tmp_path),
    ):
        pass
