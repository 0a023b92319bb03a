"""An attack carried out on all test samples, at every radius."""
