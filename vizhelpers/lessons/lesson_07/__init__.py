"""Lesson 07, the clinic."""
