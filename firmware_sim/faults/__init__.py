"""What can be made to go wrong with the pack, its firmware, the bus and the adapter; always seeded, always counted."""
