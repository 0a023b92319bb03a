"""The data sets; `registry` lists them, finds them, fetches them and loads them."""

from core.datasets.registry import DATASETS, Dataset, describe, fetch, load, parse_source, problem, test_labels

__all__ = ["DATASETS", "Dataset", "describe", "fetch", "load", "parse_source", "problem", "test_labels"]
