"""Trials on the machines of a Ray cluster: `executor` drives, a `station` on each device runs what it is sent. Ray is imported by
`connection` and `actor` alone, once somebody asks for a cluster."""
