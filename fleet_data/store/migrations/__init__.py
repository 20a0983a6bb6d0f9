"""The history of the schema, one file a revision, run by `hdap.fleet_data.store.migrate`."""
