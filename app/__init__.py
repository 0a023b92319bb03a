"""What a person touches: the command line, the charts, and the worker that joins the floors."""
