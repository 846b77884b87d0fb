"""What the checks look at: networks in two precisions, rows, and what was computed on them, each once."""
