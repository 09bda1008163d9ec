"""How good a learner is on every relation so far: metrics, scoring, figures and the report."""
