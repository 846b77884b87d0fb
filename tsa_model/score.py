"""`python -m tsa_model.score` is `tsa score`."""

from tsa_model.program import start

if __name__ == "__main__":
    start("score")
