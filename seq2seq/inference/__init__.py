"""Using a trained model: translating, scoring, aligning, evaluating and looking at its attention."""
