"""The SQLite floor: what is stored, and how it is asked for. Imports `core`'s records, never torch."""
