"""Lesson 03, hooks and feature maps."""
