"""Pages and other formats that people and programs read, made of the figures in `wattscribe.results`."""
