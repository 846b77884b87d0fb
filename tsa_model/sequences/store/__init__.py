"""The sequence store on disk: written once, opened with every digest checked, gathered into batches."""
