"""The studio: a local web page on which the user marks the damage of a picture and watches its restoration.

It needs the extra ``untaught[studio]``. The entry point is `untaught.studio.server.serve`.
"""
