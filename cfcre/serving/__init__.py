"""Serving: the champion over HTTP, in MLflow's scoring protocol, reloaded when the alias moves."""
