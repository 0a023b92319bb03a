"""Trials on a Ray cluster of this machine: a head without processors and two nodes of one each."""
