"""Damage in a picture found from the picture alone: scratches, dust, writing, dates, dead pixels."""
