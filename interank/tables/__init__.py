"""Users' tables: rows of JSONL, JSON, CSV, TSV, Parquet and data sets of the hub, with their values and columns."""

from interank.tables.reading import CutShortError, Row, Table, find_table, no_table

__all__ = ["CutShortError", "Row", "Table", "find_table", "no_table"]
