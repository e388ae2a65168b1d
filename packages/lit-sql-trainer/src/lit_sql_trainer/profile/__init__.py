"""What a run is told: profiles, their settings, and how one setting is changed."""
