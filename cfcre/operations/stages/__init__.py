"""The stages of the pipeline ``continual-learning``, one module each with a function ``run``."""
