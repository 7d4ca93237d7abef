"""Who exists and how they prove it: domains, accounts, aliases, passwords, throttling."""
