"""Compare: charts and tables of a study."""
