"""What a verb costs the server by how much there is: jobs, workers, jobs due at once, bytes."""
