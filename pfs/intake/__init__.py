"""One put of many sources: local files, directories, streams, archives and URLs become the changes of one commit."""

from pfs.intake.how import Intaken, PutHow
from pfs.intake.intake import Intake

__all__ = ["Intake", "Intaken", "PutHow"]
