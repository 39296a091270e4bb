"""What a migration is told and prepared by, on paper: definitions of the new cluster, and the manual."""
