"""`python -m tsa_model.promote compare` is `tsa compare`, and so with promote, rollback and history."""

import sys

from tsa_model.program import start

if __name__ == "__main__":
    start(*(["promote"] if sys.argv[1:2] == ["init"] else []))
