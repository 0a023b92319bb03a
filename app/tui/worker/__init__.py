"""Worker: the machine, the slots and the log."""
