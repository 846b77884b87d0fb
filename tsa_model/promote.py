"""`python -m tsa_model.promote compare` is `tsa compare`, and so with promote, rollback and history."""

from tsa_model.program import start

if __name__ == "__main__":
    start()
