"""How networks become the files of a bundle, for each runtime of `hdap.device.runtimes`."""
