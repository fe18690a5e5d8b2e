"""Whatever asks something of the pack: driving, charging, parking, loads outside the car."""
