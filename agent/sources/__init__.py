"""Where frames come from: recorded logs and live buses. Adapters: each wraps one outside thing and raises SourceError only."""
