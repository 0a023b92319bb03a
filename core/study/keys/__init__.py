"""The parts of a study file, each from its keys to what they mean."""
