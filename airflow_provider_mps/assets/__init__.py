"""Assets of files in COS: their addresses, and the events of jobs that wrote them."""
