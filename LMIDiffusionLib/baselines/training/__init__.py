"""Trainings of the baselines; they need Lightning.

Imports `training`, which trains the score network, and the baselines' networks.
Begin with `trainer`: what all trainings of baselines share.
"""
