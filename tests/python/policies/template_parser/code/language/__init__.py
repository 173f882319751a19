"""The template language: expressions in ${...}, and the directives $if, $for, $include and $default."""

from .errors import TemplateError, UnknownNameError
from .expand import Expander
from .filters import FILTERS

__all__ = ["Expander", "FILTERS", "TemplateError", "UnknownNameError"]
