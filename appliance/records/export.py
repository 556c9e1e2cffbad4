"""Results as files for other programs: CSV and Parquet with one flat row each, JSON lines with the whole record."""

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from appliance.errors import ToolMissing

ExportFormat = Literal["csv", "jsonl", "parquet"]
Record = Mapping[str, Any]

_ROWS_PER_GROUP = 10_000


def _joined(items: Iterable[Any]) -> str:
    return " ".join(dict.fromkeys(str(item) for item in items if item is not None))


def _views(record: Record, key: str) -> str:
    return _joined(view.get(key) for view in record.get("views") or [record])


def _nested(record: Record, key: str, part: str) -> Any:
    return (record.get(key) or {}).get(part)


def _image_paths(record: Record) -> str:
    return _joined(view["path"] for view in _nested(record, "image", "views") or ())


_COLUMNS: dict[str, tuple[type, Callable[[Record], Any]]] = {
    "epoch": (str, lambda record: record["epoch"]),
    "seq": (int, lambda record: record["seq"]),
    "kind": (str, lambda record: record["kind"]),
    "at": (str, lambda record: record.get("captured_at") or record.get("recorded_at")),
    "line": (str, lambda record: record.get("line")),
    "station": (str, lambda record: record.get("station")),
    "ledger_epoch": (str, lambda record: record.get("ledger_epoch")),
    "inspection_id": (int, lambda record: record.get("inspection_id")),
    "verdict_seq": (int, lambda record: record.get("verdict_seq")),
    "part_id": (str, lambda record: record.get("part_id")),
    "lot": (str, lambda record: record.get("lot")),
    "job_id": (str, lambda record: record.get("job_id")),
    "lane": (str, lambda record: record.get("lane")),
    "cameras": (str, lambda record: _views(record, "camera")),
    "trigger_ids": (str, lambda record: _views(record, "trigger_id")),
    "first_trigger_id": (int, lambda record: record.get("first_trigger_id")),
    "last_trigger_id": (int, lambda record: record.get("last_trigger_id")),
    "verdict": (str, lambda record: record.get("verdict")),
    "reason": (str, lambda record: record.get("reason")),
    "sent_verdict": (str, lambda record: record.get("sent_verdict")),
    "defect_classes": (str, lambda record: _joined(each["class_name"] for each in record.get("defects") or ())),
    "defect_count": (int, lambda record: len(record.get("defects") or ())),
    "top_score": (float, lambda record: max((each["score"] for each in record.get("defects") or ()), default=None)),
    "model": (str, lambda record: _nested(record, "model", "name")),
    "model_sha256": (str, lambda record: _nested(record, "model", "sha256")),
    "recipe": (str, lambda record: _nested(record, "recipe", "name")),
    "recipe_version": (int, lambda record: _nested(record, "recipe", "version")),
    "total_ms": (float, lambda record: _nested(record, "stage_ms", "total")),
    "images": (str, _image_paths),
    "is_simulated": (bool, lambda record: record.get("is_simulated")),
    "is_partial": (bool, lambda record: record.get("is_partial")),
    "is_recovered": (bool, lambda record: record.get("is_recovered")),
}
"""Columns of CSV and Parquet: name, type, and where it comes from. Several names in one cell stand with blanks."""


def flat_row(record: Record) -> dict[str, Any]:
    """Flatten a record to the columns of CSV and Parquet; None where it has no such value."""
    return {name: value(record) for name, (_, value) in _COLUMNS.items()}


def export(records: Iterable[Record], file_format: ExportFormat, out: Path | None) -> int:
    """Write records to a file that appears under its name only when it is complete, or to stdout.

    Returns:
        How many were written.
    Raises:
        ToolMissing: Parquet without pyarrow.
        ValueError: Parquet to stdout.
        OSError: The file can't be written; nothing is left of it.
    """
    if file_format == "parquet":
        if out is None:
            raise ValueError("parquet is written to a file only")
        _require_pyarrow()
    if out is None:
        return _write_text(records, file_format, sys.stdout)
    with _complete_or_nothing(out) as temporary:
        if file_format == "parquet":
            return _write_parquet(records, temporary)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            written = _write_text(records, file_format, file)
            file.flush()
            os.fsync(file.fileno())
            return written


@contextlib.contextmanager
def _complete_or_nothing(out: Path) -> Iterator[Path]:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def _write_text(records: Iterable[Record], file_format: ExportFormat, file: IO[str]) -> int:
    written = 0
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    if file_format == "csv":
        writer.writeheader()
    for record in records:
        if file_format == "csv":
            writer.writerow(flat_row(record))
        else:
            file.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
        written += 1
    return written


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 (an extra: only this format needs it)
    except ImportError:
        raise ToolMissing(
            "Parquet needs pyarrow: pip install 'edge-inspection-appliance[parquet]', or export csv or jsonl"
        ) from None


def _write_parquet(records: Iterable[Record], path: Path) -> int:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, (kind, _) in _COLUMNS.items()])
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _batches(records):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            written += len(rows)
    return written


def _batches(records: Iterable[Record]) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for record in records:
        rows.append(flat_row(record))
        if len(rows) == _ROWS_PER_GROUP:
            yield rows
            rows = []
    if rows:
        yield rows
