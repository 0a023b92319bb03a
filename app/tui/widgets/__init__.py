"""What several screens show: a paged table, charts, the two lines around every screen."""
