"""Messages to the library's readers: at once, later, at a given time, or not at all when it is too late."""
