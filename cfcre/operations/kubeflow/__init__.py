"""Runs on a cluster: submitting them to Kubeflow Pipelines, finding them again, scheduling them."""
