"""Films: a video or a sequence of pictures, frame after frame, each with the help of its neighbours."""
