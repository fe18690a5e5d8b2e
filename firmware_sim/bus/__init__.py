"""What the pack says on the bus: frames, their layouts and their timetable. Pure; the encoder is independent of the agent."""
