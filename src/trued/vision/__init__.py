"""Images: frozen encoders and image data."""
