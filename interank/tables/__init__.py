"""Tables that people have: rows of JSONL, JSON, CSV, TSV, Parquet and the hub, their values and their columns."""

from interank.tables.reading import CutShortError, Row, Table, find_table, no_table

__all__ = ["CutShortError", "Row", "Table", "find_table", "no_table"]
