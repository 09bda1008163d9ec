"""What wakes the watcher: leader lease, queue, webhook; and what it says about itself."""
