"""`translate-cohort`: the scans of a study, from a folder, a list or a BIDS data set to results of the same order."""

from .bids import Choice
from .inputs import Cohort, find_cohort
from .run import CohortOptions, CohortReport, translate_cohort

__all__ = ["Choice", "Cohort", "CohortOptions", "CohortReport", "find_cohort", "translate_cohort"]
