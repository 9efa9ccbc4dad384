"""Keys and tokens: found in the environment, kept in the keyring or an encrypted vault, never printed."""
