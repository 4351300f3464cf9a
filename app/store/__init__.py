"""The store room: what Redis or Valkey keeps, and the only code that speaks to it.

``connect.py`` opens it, ``keys.py`` says what is where and what changes it, ``scripts/`` are the transitions.
"""
