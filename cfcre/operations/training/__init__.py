"""Learning steps in this process, in several processes of this machine, or on several nodes."""
