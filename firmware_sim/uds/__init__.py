"""The BMS on the diagnostic bus: UDS requests over ISO-TP, answered from what the firmware knows."""
