"""`python -m tsa_model.equivalence check` is `tsa check`, and so with capture and schema."""

from tsa_model.program import start

if __name__ == "__main__":
    start()
