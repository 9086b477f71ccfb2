"""Parts that several commands share: options, the connection to the hub, completion, and the parsing of arguments."""
