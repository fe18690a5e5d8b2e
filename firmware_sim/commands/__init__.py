"""The sub-commands of packseal-sim, one module each."""
