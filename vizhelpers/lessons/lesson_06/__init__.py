"""Lesson 06, TensorBoard."""
