"""Who may open an encrypted store: passphrases and key files, and the slots that hold its key for them."""
