-- No Bluetooth, which a container does not have. Only WirePlumber 0.4 (Ubuntu 24.04) reads this file: looking for Bluetooth,
-- it asks logind, and ends where there is none.
bluez_monitor.enabled = false
bluez_midi_monitor.enabled = false
