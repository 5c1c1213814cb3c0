"""Pages and other formats that people and programs read, made of the figures in `wattscribe.results`."""

from wattscribe.pages.formats import FORMATS, to_csv, to_json, to_markdown, to_parquet

__all__ = ["FORMATS", "to_csv", "to_json", "to_markdown", "to_parquet"]
