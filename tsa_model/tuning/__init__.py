"""`tsa tune`: a search for better settings on the weeks before the test period, and its page.

Imports all of the library; nothing imports it but the command line.
"""

from tsa_model.tuning.search import tune

__all__ = ["tune"]
