"""Assets for files in COS: their URIs, and the events of jobs that wrote them."""
