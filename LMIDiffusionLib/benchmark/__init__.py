"""Scores of translations against true targets, and run times.

Imports `baselines` and all below it; nothing but `commands` imports it.
Begin with `quality`: pairs, methods, scores, tables. `registry` has the methods by name.
"""
