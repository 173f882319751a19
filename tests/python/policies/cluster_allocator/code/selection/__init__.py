from .filters import FilterError, compile_filter
from .ranking import Candidate, Ranking, best_of

__all__ = ["Candidate", "FilterError", "Ranking", "best_of", "compile_filter"]
