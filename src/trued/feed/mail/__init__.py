"""Papers by e-mail: subscribers, digests, and the sending of both."""
