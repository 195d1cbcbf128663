"""What happened to the picture: differentiable operators from a picture to what was observed of it."""
