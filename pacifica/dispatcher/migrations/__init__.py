"""Changes of the schema, applied in order by peewee's runner; each file holds frozen models."""
