"""Judges: did a reply comply with the request, refuse it, or neither?"""
