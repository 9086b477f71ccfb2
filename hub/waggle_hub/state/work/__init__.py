"""Work queues: which entries `take` may take, and which takers wait for them."""
