"""What really happened, written beside what the pack says, for tests and for whoever trains an estimator."""
