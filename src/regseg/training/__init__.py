"""Training and evaluation with Lightning."""

import os

# MLflow sends usage data to its makers otherwise. Before Lightning's logger is imported, which imports it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
