"""What several screens show: a paged table, charts, dialogs, the two lines around every screen."""
