"""The terminal's face: parse, call, print. No logic that a user of the library would miss."""
