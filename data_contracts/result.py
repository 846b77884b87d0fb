"""The end of every contract: the JSON result, the page, and an exception when the run must stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_contracts.findings import Finding, raise_if_stopped
from data_contracts.report import write_report
from tsa_model.files import write_json
from tsa_model.sealed import with_seal
from tsa_model.signing import NOT_SIGNED


def publish_result(
    contract: str,
    subject: str,
    facts: Mapping[str, Any],
    findings: Sequence[Finding],
    report_path: str | Path,
    result_path: str | Path,
) -> dict[str, Any]:
    """Write result and report, good or bad, and then stop the run if it is bad.

    Args:
        contract: what was checked, in words ("raw events").
        subject: where it lies.
        facts: further entries of the result; at least `dataset`, `rows` and `bad_rows`.
        findings: every rule's outcome.
        report_path: HTML page to write.
        result_path: JSON file to write.

    Returns:
        The result as written: a sealed document, signed where there is a key.

    Raises:
        ContractViolation: a rule that stops is broken.
    """
    result = {
        "contract": contract,
        "subject": subject,
        "passed": not any(finding.stops for finding in findings),
        "findings": [finding.as_json() for finding in findings],
        **facts,
        "signature": NOT_SIGNED,
    }
    result = with_seal(result)
    write_json(result_path, result)
    write_report(report_path, result)
    raise_if_stopped(findings, subject, str(result_path), str(report_path))
    return result
