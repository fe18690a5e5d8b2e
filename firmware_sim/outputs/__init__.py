"""Where frames go: terminals, buses and files, and the stream that moves them there in time."""
