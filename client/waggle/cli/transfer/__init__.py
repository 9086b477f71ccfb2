"""The commands `export` and `import`: entries to and from a file of JSON lines."""
