"""An address of events never carries a secret into logs."""

from __future__ import annotations

import pytest

from tsa_model.events.location import check_location

SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    "events",
    [
        f"s3://AKIA:{SECRET}@bucket/orders",
        f"s3://{SECRET}@bucket/orders.parquet",
        f"s3://bucket/orders?access_key=AKIA&secret_key={SECRET}",
        f"s3://bucket/orders?region=eu&session_token={SECRET}",
        f"https://host/orders.csv?X-Amz-Signature={SECRET}",
    ],
)
def test_a_secret_is_refused_and_not_repeated(events: str) -> None:
    with pytest.raises(ValueError, match="through the environment") as refused:
        check_location(events)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "events",
    [
        "orders.parquet",
        "/data/me@shop/orders",
        "s3://bucket/orders@2025.parquet",
        "s3://bucket/o?region=eu-west-1&endpoint_override=localhost:9000&scheme=http",
        "gs://bucket/orders",
    ],
)
def test_other_places_are_taken(events: str) -> None:
    check_location(events)
