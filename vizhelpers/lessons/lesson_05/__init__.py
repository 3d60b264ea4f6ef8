"""Lesson 05, FlashTorch."""
