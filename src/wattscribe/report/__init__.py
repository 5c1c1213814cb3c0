"""Facts to view-model to page."""
