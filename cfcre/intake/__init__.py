"""Object store, inbox, formats, validation and quarantine: everything before a row is trusted."""
