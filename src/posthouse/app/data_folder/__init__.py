"""The data folder as a whole: its parts, whose it is, the disk it lies on, how it is made and started on."""
