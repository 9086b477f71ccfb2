"""Parts that several commands share: options, the visit to the hub, completion, and arguments that need parsing."""
