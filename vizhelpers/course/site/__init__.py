"""The course as pages to read: ``python -m vizhelpers site`` (Sphinx, myst-nb, Furo)."""
