"""Lab: a study's trials in groups, rows to open down to one run, and views of the same rows."""
