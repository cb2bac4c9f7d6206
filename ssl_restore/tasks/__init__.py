"""What restorers are for, a file each: it defines `task`, and a file in `cli` its command."""
