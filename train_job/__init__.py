"""What a stage asks of the Kubernetes cluster it runs in: training on several nodes."""
