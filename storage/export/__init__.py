"""Taking results elsewhere. Every file is written beside its place and renamed, so none is ever half there."""

from storage.export.datasette import export_datasette
from storage.export.parquet import export_parquet
from storage.export.place import beside
from storage.export.rows import export_listing, export_rows, export_table, write_rows
from storage.export.sqlite import export_sqlite
from storage.export.weights import export_weights

__all__ = [
    "beside",
    "export_datasette",
    "export_listing",
    "export_parquet",
    "export_rows",
    "export_sqlite",
    "export_table",
    "export_weights",
    "write_rows",
]
