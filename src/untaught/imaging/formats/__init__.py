"""Formats that libraries read and write: a module for each, loaded when a file of its kind is met."""
