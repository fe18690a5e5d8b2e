"""The pack: a believable battery management system on a bus, whose truth is known because it is computed here."""
