"""untaught inside other programs: deepinv, napari."""
