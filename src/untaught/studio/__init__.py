"""The studio: a local web page on which a damaged picture is painted over and watched coming back.

An extra, ``untaught[studio]``; nothing else imports it. ``server.serve`` is its door.
"""
