"""What this computer is and has: versions, ports, accelerators, and how a process ends."""
