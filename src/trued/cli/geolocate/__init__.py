"""`trued geolocate`: where a picture was taken."""
