"""The server: admits statements to the append-only log, signs checkpoints, proves, keeps the register."""
