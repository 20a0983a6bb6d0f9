"""What runs networks on a device, behind one interface; see `hdap.device.runtimes.base`."""
