"""Evidence for the checks: networks in two precisions, rows, and their tensors, each computed once."""
