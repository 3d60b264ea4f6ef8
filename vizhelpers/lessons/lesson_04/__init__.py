"""Lesson 04, class activation maps."""
