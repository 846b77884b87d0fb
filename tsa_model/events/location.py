"""Where raw orders lie: a path, or an address in an object store that must not hold a secret."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

_SECRET_PARAMETERS = ("key", "secret", "token", "password", "signature", "credential")


def check_location(events: str) -> None:
    """Refuse an address with a secret in it: addresses are written to logs, arguments and reports.

    Args:
        events: a path, or an address such as `s3://bucket/orders`.

    Raises:
        ValueError: the address holds a user, a password or a key. The message does not repeat it.
    """
    if "://" not in events:
        return
    address = urlsplit(events)
    if "@" in address.netloc:
        raise ValueError(_refusal(address.scheme, "a user or a key before '@'"))
    for name, _ in parse_qsl(address.query, keep_blank_values=True):
        if any(word in name.lower() for word in _SECRET_PARAMETERS):
            raise ValueError(_refusal(address.scheme, f"the parameter {name!r}"))


def _refusal(scheme: str, what: str) -> str:
    return (
        f"the address of the events ({scheme}://...) holds {what}, and addresses get into logs and reports: "
        "leave it out and give the credentials through the environment (AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS) or the service account of the stage"
    )
