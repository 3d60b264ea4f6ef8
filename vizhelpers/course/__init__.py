"""The course as a program: install, open, test, refresh, and the first cell of a lesson."""
