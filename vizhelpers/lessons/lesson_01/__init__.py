"""Lesson 01, print vs torchinfo."""
