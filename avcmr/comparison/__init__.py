"""Our method, its ablations and its rivals, compared on the same clips over seeds."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from avcmr.comparison.registry import all_methods
    from avcmr.comparison.statistics import Outcome, Summary, summarise
    from avcmr.comparison.study import Comparison, compare

__all__ = ["Comparison", "Outcome", "Summary", "all_methods", "compare", "summarise"]

# Imported lazily: the command line reads the presets without importing SciPy.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "registry": ["all_methods"],
        "statistics": ["Outcome", "Summary", "summarise"],
        "study": ["Comparison", "compare"],
    },
)
