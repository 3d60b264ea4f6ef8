"""Lesson 02, kernels."""
