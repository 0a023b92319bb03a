"""What a study shows, for every front end: names, numbers, charts, tables, images, forecast, status."""
