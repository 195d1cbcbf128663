"""Many pictures: a folder, a list or a table of them, done once each, whatever happens in between."""
