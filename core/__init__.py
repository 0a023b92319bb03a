"""The science and the engine. Imports neither `storage` nor `app`."""
