"""What single lessons need: checkers of exercises, networks to diagnose, repaired libraries."""
