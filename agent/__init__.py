"""The vehicle's side: capture -> decode -> window -> seal -> outbox -> uplink -> receipts."""
