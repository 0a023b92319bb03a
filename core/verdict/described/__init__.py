"""What describes a finding beside its verdict: ranks, sign flips, McNemar's test, analysis of variance.

Nothing here decides. Every number in a record is finite; None stands for what is not defined.
"""
