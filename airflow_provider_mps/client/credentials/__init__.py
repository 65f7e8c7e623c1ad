"""Where the keys come from that sign a request, and how long they are kept."""
