"""Training on several nodes of the Kubernetes cluster that the training stage runs in."""
