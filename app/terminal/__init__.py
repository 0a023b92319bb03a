"""The way out to a terminal, a pipe or a file: which characters pass, what stands for others, what becomes of failed writes."""
