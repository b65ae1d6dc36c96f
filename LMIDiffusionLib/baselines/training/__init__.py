"""Training of the baselines, which needs Lightning.

Imports `training`, which trains the score network, and the baselines' networks.
Begin with `trainer`: the parts that all of them share.
"""
