"""Views of the Lab's rows: curves, heatmap, trade-off, training, differences and images, a module each."""
