//! What the schemas of a policy say, kept or only warned about.
