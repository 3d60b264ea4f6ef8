"""What several modules share and no learner calls."""
