"""Lesson 08, your own model and picture: networks of every kind, and a checklist for maps."""
