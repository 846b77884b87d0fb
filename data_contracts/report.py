"""The contract report: one HTML page, complete in itself, the verdict first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_contracts.findings import shorten
from tsa_model.pages.render import render_page
from tsa_model.sealed_pages import write_page
from tsa_model.signing import NOT_SIGNED, shown_signature

TEMPLATE = Path(__file__).with_name("contract.html.j2")
SHOWN_EXAMPLES = 5


def write_report(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write a contract result as a page.

    Args:
        path: HTML file to write.
        result: as in the JSON result, sealed; `periods`, `drift`, `columns` and `tables` may be absent.
    """
    write_page(path, render_page(TEMPLATE, **_view(result)), result["sha256"])


def _view(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows, each figure already in words."""
    findings = list(result["findings"])
    broken = [f for f in findings if not f["passed"]]
    stops = [f for f in broken if f["severity"] == "stop"]
    warnings = [f for f in broken if f["severity"] == "warn"]
    return {
        "contract": result["contract"],
        "subject": result["subject"],
        "dataset": result["dataset"],
        "verdict": _verdict(stops, warnings),
        "facts": _facts(result, findings),
        "stops": [_shown(f) for f in stops],
        "warnings": [_shown(f) for f in warnings],
        "rules": _by_column(findings),
        "periods": _periods(result.get("periods", [])),
        "tables": result.get("tables", []),
        "drift": _drift(result.get("drift", []), result.get("drift_levels", {})),
        "columns": result.get("columns", []),
        "ignored": result.get("ignored_columns", []),
    }


def _verdict(stops: list[dict[str, Any]], warnings: list[dict[str, Any]]) -> dict[str, str]:
    if stops:
        rules = "one rule is broken" if len(stops) == 1 else f"{len(stops)} rules are broken"
        return {"kind": "stop", "text": "The contract is broken", "more": f"{rules}; nothing was passed on"}
    if warnings:
        rules = "one rule" if len(warnings) == 1 else f"{len(warnings)} rules"
        return {"kind": "warn", "text": "The contract holds, with warnings", "more": f"{rules} to look at"}
    return {"kind": "ok", "text": "The contract holds", "more": "every rule is kept"}


def _facts(result: Mapping[str, Any], findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    known = sum(period["known_labels"] for period in result.get("periods", []))
    frauds = sum(period["frauds"] for period in result.get("periods", []))
    facts = [("rows checked", f"{result['rows']:,}"), ("bad rows", f"{result['bad_rows']:,}")]
    facts.append(("rules kept", f"{sum(f['passed'] for f in findings)} of {len(findings)}"))
    facts.append(("signature", shown_signature(result.get("signature", NOT_SIGNED))))
    if known:
        facts.append(("fraud among known labels", f"{frauds / known:.2%}"))
    return facts


def _shown(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "column": finding["column"],
        "sentence": finding["sentence"],
        "detail": finding["detail"],
        "bad_rows": f"{finding['bad_rows']:,}" if finding["bad_rows"] else "",
        "rows": f"{finding['rows']:,}",
        "examples": [_example(example) for example in finding["examples"][:SHOWN_EXAMPLES]],
        "more": max(0, finding["bad_rows"] - SHOWN_EXAMPLES) if finding["examples"] else 0,
    }


def _example(example: Mapping[str, Any]) -> dict[str, str]:
    order, row, value = example["order_id"], example["row"], example["value"]
    where = f"order {order}" if order is not None else "" if row is None else f"row {row:,}"
    shown = (
        "missing" if value is None else f"{value:.6g}" if isinstance(value, float) else shorten(str(value))
    )
    return {"where": where, "value": shown}


def _by_column(findings: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rules about one column under its name, then those about all of it together."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for finding in sorted(findings, key=lambda finding: finding["column"] is None):
        groups.setdefault(finding["column"] or "together", []).append(finding)
    return list(groups.items())


def _periods(periods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    most = max((period["orders"] for period in periods), default=0) or 1
    return [
        {
            "name": period["period"],
            "span": f"{period['start'][:10]} to {period['end'][:10]}",
            "orders": f"{period['orders']:,}",
            "bar": round(100 * period["orders"] / most, 1),
            "known": f"{period['known_labels']:,}",
            "frauds": f"{period['frauds']:,}",
            "rate": f"{period['frauds'] / period['known_labels']:.2%}" if period["known_labels"] else "",
            "history": f"{period['history_ratio']:.2f} times" if "history_ratio" in period else "",
        }
        for period in periods
    ]


def _drift(drift: list[dict[str, Any]], levels: Mapping[str, float]) -> dict[str, Any]:
    """A row per feature, a cell per period; the colour says how far a value is on its way to the level."""
    periods = list(dict.fromkeys(entry["period"] for entry in drift))
    features: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in drift:
        features.setdefault(entry["feature"], {})[entry["period"]] = entry
    rows = []
    for feature, entries in features.items():
        cells = [_cell(entries[period], levels) for period in periods if period in entries]
        worst = max(entry["psi"] for entry in entries.values())
        rows.append({"feature": feature, "cells": cells, "worst": worst})
    return {
        "periods": periods,
        "rows": sorted(rows, key=lambda row: -row["worst"]),
        "psi": levels.get("psi_warn"),
        "unknown": f"{levels['unknown_warn']:.0%}" if "unknown_warn" in levels else "",
    }


def _cell(entry: Mapping[str, Any], levels: Mapping[str, float]) -> dict[str, Any]:
    is_noise = entry["psi"] <= 3 * entry["noise"]
    towards = 0.0 if is_noise else entry["psi"] / levels["psi_warn"]
    unknown = entry["unknown_rate"]
    return {
        "psi": f"{entry['psi']:.3f}",
        "shade": round(min(1.0, towards), 2),
        "alarm": towards > 1 or unknown > levels["unknown_warn"],
        "unknown": f"{unknown:.1%} unknown" if unknown else "",
    }
