"""Where jobs run. `protocol` is the contract; `inline` runs here, `process` in children of a fork server."""
