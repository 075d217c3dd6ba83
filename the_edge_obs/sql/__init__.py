"""Logs as tables: events in Parquet files, and events, spans and runs for SQL, by DuckDB (extra ``sql``)."""

from .parquet import write_days, write_parquet
from .query import opened

__all__ = ["opened", "write_days", "write_parquet"]
