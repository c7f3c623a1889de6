"""The commands of `trm`, one file each. Heavy imports happen inside the commands."""
