"""All that runs on a device: measuring, the controller of levels, the switcher of variants."""
