"""A study written up: `write_up` gathers one `Report`, `markdown` and `page` render it. No network, no torch, no JavaScript."""
