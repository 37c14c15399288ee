"""Who may call: keys, what each may do, and where they are kept."""
