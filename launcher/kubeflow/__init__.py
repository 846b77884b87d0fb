"""The pipeline on a Kubeflow server: upload, run, follow, schedule; imports compilation and stages."""
