"""The formats that both sides share. Pure: no sockets, files, clocks, logging or threads; time is an argument."""
