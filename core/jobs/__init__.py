"""What a child process can be asked, and how it is done."""
