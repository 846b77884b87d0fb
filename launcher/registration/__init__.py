"""Registries that teams look at follow the champion's pointer: Kubeflow's Model Registry, and MLflow's."""
