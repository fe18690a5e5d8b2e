"""What is planned: a TOML file says what pack it is, what the car does with it, and what goes wrong."""
