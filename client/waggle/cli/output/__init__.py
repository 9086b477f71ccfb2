"""Text for people and programs: values, tables, events, differences, explanations, progress."""
