"""Training and evaluation with Lightning."""

import os

# Keeps MLflow from sending usage data; set before Lightning's logger is imported, which imports MLflow.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
