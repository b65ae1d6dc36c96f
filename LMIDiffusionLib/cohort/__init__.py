"""Translation of a study: all scans of a folder, a list or a BIDS data set.

Imports `translation`, `runs` and everything below them.
Begin with `run`, which shares out the work; `pipeline` is one process's part of it.
"""

from .bids import Choice
from .dry_run import dry_run
from .inputs import Cohort, find_cohort
from .run import CohortOptions, CohortReport, translate_cohort

__all__ = ["Choice", "Cohort", "CohortOptions", "CohortReport", "dry_run", "find_cohort", "translate_cohort"]
